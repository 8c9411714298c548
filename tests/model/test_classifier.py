"""The label-matching classifier on the tiny BERT."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from teleclass.model.batching import packed, padded, tokenize
from teleclass.model.classifier import LabelMatchingClassifier, LabelMatchingConfig
from teleclass.model.loss import masked_bce

TEXTS = ["a ripe apple", "the loaf had a dark crust, best bakery in town", "", "climb the ladder"]


@pytest.fixture
def classifier(tiny_model):
    """Seven classes, with a head that has no zero in it."""
    torch.manual_seed(1)
    model = LabelMatchingClassifier.from_backbone(tiny_model, n_classes=7, class_dimension=5).eval()
    torch.nn.init.normal_(model.class_bias)
    torch.nn.init.constant_(model.log_scale, 1.5)
    return model


@pytest.fixture(scope="module")
def tokens(tiny_model):
    return tokenize(AutoTokenizer.from_pretrained(tiny_model), TEXTS, 64)


@torch.no_grad()
def logits_of(model, tokens, rows, pad_id: int = 0) -> np.ndarray:
    return model(batch=padded(tokens, rows, pad_id)).numpy()


def test_the_backbone_has_the_pretrained_weights_and_no_pooler(classifier, tiny_model):
    pretrained = AutoModel.from_pretrained(tiny_model).state_dict()
    own = classifier.backbone.state_dict()
    assert set(own) == {name for name in pretrained if not name.startswith("pooler.")}
    for name, weight in own.items():
        torch.testing.assert_close(weight, pretrained[name], rtol=0, atol=0)


def test_the_shapes_are_those_asked_for_and_everything_is_float32_and_trained(classifier, tokens):
    assert classifier.class_vectors.shape == (7, 5)
    assert classifier.projection.weight.shape == (5, 32)
    assert logits_of(classifier, tokens, [0, 1, 2, 3]).shape == (4, 7)
    assert {parameter.dtype for parameter in classifier.parameters()} == {torch.float32}
    for batch in (padded(tokens, [0, 1], 0), packed(tokens, [0, 1])):
        classifier.zero_grad()
        loss = classifier(targets=torch.eye(7)[:2], counted=torch.ones(2, 7), weights=torch.ones(2), batch=batch)
        loss.backward()
        assert [name for name, parameter in classifier.named_parameters() if parameter.grad is None] == []


def test_a_new_head_is_finite_and_tells_classes_apart(tiny_model):
    model = LabelMatchingClassifier.from_backbone(tiny_model, n_classes=7, class_dimension=5)
    vectors = model.class_vectors.detach()
    assert torch.isfinite(vectors).all()
    assert len(torch.unique(vectors, dim=0)) == 7
    assert 0.2 < vectors.std().item() * 5**0.5 < 2  # a standard deviation of 1 / sqrt(dimension)


def test_a_logit_is_the_scaled_cosine_plus_the_classs_bias(classifier, tokens):
    """The same by numpy, from the hidden states: mean over tokens, projection, cosine, scale, bias."""
    ids = torch.from_numpy(tokens[1].astype(np.int64))[None]
    with torch.no_grad():
        hidden = classifier.backbone(input_ids=ids).last_hidden_state[0].numpy()
    head = {name: value.numpy() for name, value in classifier.state_dict().items() if "backbone" not in name}
    document = head["projection.weight"] @ hidden.mean(axis=0) + head["projection.bias"]
    classes = head["class_vectors"]
    cosine = classes @ document / np.linalg.norm(document) / np.linalg.norm(classes, axis=1)
    expected = np.exp(1.5) * cosine + head["class_bias"]
    np.testing.assert_allclose(logits_of(classifier, tokens, [1])[0], expected, atol=1e-5)


@pytest.mark.parametrize("pad_id", [0, 9])
def test_padding_changes_no_documents_logits(classifier, tokens, pad_id):
    """Whatever token stands in the padding: the mask hides it from attention and mean."""
    together = logits_of(classifier, tokens, [0, 1, 2, 3], pad_id)
    for row in range(len(TEXTS)):
        np.testing.assert_allclose(logits_of(classifier, tokens, [row])[0], together[row], atol=1e-5)
    assert np.ptp(together, axis=0).min() > 1e-3  # the documents differ, so a mixed-up row would show


def test_with_targets_it_returns_the_loss_of_its_logits(classifier, tokens):
    generator = np.random.default_rng(0)
    targets, counted = (torch.from_numpy(generator.integers(0, 2, (3, 7)).astype(np.float32)) for _ in range(2))
    weights = torch.tensor([0.5, 1.0, 1.5])
    batch = padded(tokens, [0, 1, 3], 0)
    with torch.no_grad():
        loss = classifier(batch.ids, batch.mask, targets, counted, weights)
        torch.testing.assert_close(loss, masked_bce(classifier(batch.ids, batch.mask), targets, counted, weights))


def test_ids_without_a_mask_are_all_tokens_and_no_input_at_all_is_refused(classifier, tokens):
    batch = padded(tokens, [0], 0)
    with torch.no_grad():
        torch.testing.assert_close(classifier(batch.ids), classifier(batch.ids, batch.mask), rtol=0, atol=0)
    with pytest.raises(ValueError, match="input_ids"):
        classifier()


def test_packed_documents_have_the_logits_of_padded_ones(classifier, tokens):
    with torch.no_grad():
        logits = classifier(batch=packed(tokens, [3, 0, 2, 1])).numpy()
    np.testing.assert_allclose(logits, logits_of(classifier, tokens, [3, 0, 2, 1]), atol=2e-6)


def test_logits_by_a_class_matrix_made_once_are_those_of_the_forward_pass(classifier, tokens):
    batch = packed(tokens, [0, 1, 2, 3])
    with torch.no_grad():
        logits = classifier.logits(classifier.document_features(batch), classifier.class_matrix())
        torch.testing.assert_close(logits, classifier(batch=batch), rtol=0, atol=0)


def test_the_head_stays_float32_under_bf16_autocast(classifier, tokens):
    """bf16 hidden states may move the cosine a little; a bf16 cosine would be off by .004 times the scale."""
    features = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    classifier.document_features = lambda *_: features  # the head alone
    with torch.no_grad():
        exact = classifier(torch.zeros(4, 1, dtype=torch.int64))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = classifier(torch.zeros(4, 1, dtype=torch.int64))
    torch.testing.assert_close(mixed, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("load", [LabelMatchingClassifier.from_pretrained, AutoModel.from_pretrained])
def test_saved_and_loaded_it_gives_the_same_logits(classifier, tokens, tmp_path, load):
    classifier.save_pretrained(tmp_path)
    loaded = load(tmp_path).eval()
    assert type(loaded) is LabelMatchingClassifier
    rows = [0, 1, 2, 3]
    np.testing.assert_allclose(logits_of(loaded, tokens, rows), logits_of(classifier, tokens, rows), atol=1e-6)
    saved = classifier.state_dict()
    assert set(loaded.state_dict()) == set(saved)
    for name, weight in loaded.state_dict().items():
        torch.testing.assert_close(weight, saved[name], rtol=0, atol=0)


def test_the_saved_configuration_says_what_it_is(classifier, tmp_path):
    classifier.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert (content["model_type"], content["n_classes"], content["class_dimension"]) == (
        "teleclass_label_matching",
        7,
        5,
    )
    assert (content["backbone"]["model_type"], content["backbone"]["hidden_size"]) == ("bert", 32)
    assert type(AutoConfig.from_pretrained(tmp_path)) is LabelMatchingConfig


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("load", [LabelMatchingClassifier.from_pretrained, AutoModel.from_pretrained])
def test_over_a_backbone_in_half_precision_it_is_saved_and_loaded_in_fp32(tiny_model, tokens, tmp_path, dtype, load):
    """Many models on the hub are stored so; what was trained in fp32 must not be rounded when it is loaded."""
    AutoModel.from_pretrained(tiny_model, dtype=dtype).save_pretrained(tmp_path / "half")
    classifier = LabelMatchingClassifier.from_backbone(tmp_path / "half", n_classes=7, class_dimension=5).eval()
    with torch.no_grad():
        for weight in classifier.parameters():
            weight.mul_(1 + 2**-20)  # as a training step that half precision cannot tell
    classifier.save_pretrained(tmp_path / "saved")
    loaded = load(tmp_path / "saved").eval()
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    np.testing.assert_array_equal(logits_of(loaded, tokens, [0, 1]), logits_of(classifier, tokens, [0, 1]))


def test_the_saved_configuration_does_not_name_the_folder_of_the_backbone(classifier, tiny_model, tmp_path):
    """That is a place on one person's machine, and the model is handed on."""
    classifier.save_pretrained(tmp_path)
    assert str(tiny_model) not in (tmp_path / "config.json").read_text("utf-8")
