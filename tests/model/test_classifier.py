"""The classifier: its head's arithmetic, its backbone, and saving it the Hugging Face way."""

import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, AutoTokenizer

from teleclass.model.batching import padded, tokenize
from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.loss import masked_bce

TEXTS = ["a ripe apple", "the loaf had a dark crust, best bakery in town", "", "climb the ladder"]

SMALL = {"vocab_size": 90, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
BACKBONES = {
    "bert": SMALL,
    "roberta": SMALL,
    "xlm-roberta": SMALL,
    "mpnet": SMALL,
    "distilbert": {"vocab_size": 90, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 24},
}


@pytest.fixture(scope="module")
def classifier(tiny_model):
    torch.manual_seed(1)
    return LabelMatchingClassifier.from_backbone(tiny_model, n_classes=7, class_dimension=5).eval()


@pytest.fixture(scope="module")
def tokens(tiny_model):
    return tokenize(AutoTokenizer.from_pretrained(tiny_model), TEXTS, 64)


def batch(tokens, rows):
    return [torch.from_numpy(array) for array in padded(tokens, rows, 0)]


def logits_of(classifier, tokens, rows=(0, 1, 2, 3)) -> np.ndarray:
    with torch.no_grad():
        return classifier.eval()(*batch(tokens, list(rows))).numpy()


def stored_types(folder) -> set[str]:
    types = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="numpy") as stored:
            types |= {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
    return types


def test_a_logit_is_the_scaled_cosine_of_document_and_class_plus_the_classes_bias(tiny_model, tokens):
    """The document vector is the mean of the last hidden states over the tokens that are not padding, projected."""
    torch.manual_seed(2)
    classifier = LabelMatchingClassifier.from_backbone(tiny_model, n_classes=3, class_dimension=5).eval()
    with torch.no_grad():
        classifier.class_bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
        classifier.log_scale.fill_(np.log(20.0))
        hidden = AutoModel.from_pretrained(tiny_model).eval()(*batch(tokens, [0])).last_hidden_state[0]
    weight, bias = (value.detach().numpy() for value in (classifier.projection.weight, classifier.projection.bias))
    document = weight @ hidden.numpy().mean(axis=0) + bias
    classes = classifier.class_vectors.detach().numpy()
    cosines = [document @ row / np.linalg.norm(document) / np.linalg.norm(row) for row in classes]
    expected = 20 * np.array(cosines) + [0.5, -1.0, 2.0]
    # in a batch with a longer text, so that padding would show
    np.testing.assert_allclose(logits_of(classifier, tokens, [0, 1])[0], expected, atol=1e-4)


def test_padding_changes_no_documents_logits(classifier, tokens):
    together = logits_of(classifier, tokens)
    for row in range(len(TEXTS)):
        np.testing.assert_allclose(logits_of(classifier, tokens, [row])[0], together[row], atol=1e-5)


def test_with_targets_it_gives_the_loss_of_its_logits_and_every_parameter_learns(tiny_model, tokens):
    classifier = LabelMatchingClassifier.from_backbone(tiny_model, n_classes=7, class_dimension=5).eval()
    targets = torch.eye(7)[[0, 1, 5, 5]]
    counted, weights = 1 - torch.eye(7)[[6, 6, 6, 6]], torch.tensor([1.0, 2.0, 0.5, 0.5])
    loss = classifier(*batch(tokens, [0, 1, 2, 3]), targets, counted, weights)
    expected = masked_bce(torch.from_numpy(logits_of(classifier, tokens)), targets, counted, weights)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert [name for name, value in classifier.named_parameters() if value.grad is None] == []
    assert (classifier.class_vectors.grad[6] == 0).all()  # ignored everywhere
    assert (classifier.class_vectors.grad[:6] != 0).any(dim=1).all()


def test_under_bf16_the_cosine_stays_in_fp32(classifier, tokens):
    """bf16 logits near 20 are multiples of 1/8."""
    ids, mask = batch(tokens, [0, 1, 2, 3])
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = classifier(ids, mask)
    assert logits.dtype is torch.float32
    assert not torch.equal(logits, logits.to(torch.bfloat16).float())


def test_the_backbone_is_the_pretrained_one_without_its_pooler(classifier, tiny_model):
    own = classifier.backbone.state_dict()
    pretrained = AutoModel.from_pretrained(tiny_model).state_dict()
    assert {name for name in pretrained if name not in own} == {"pooler.dense.weight", "pooler.dense.bias"}
    for name, weight in own.items():
        torch.testing.assert_close(weight, pretrained[name], rtol=0, atol=0)


@pytest.mark.parametrize("loader", [LabelMatchingClassifier, AutoModel], ids=["its own class", "AutoModel"])
def test_a_saved_classifier_has_the_same_logits_when_it_is_loaded(classifier, tokens, tmp_path, loader):
    classifier.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert type(loaded) is LabelMatchingClassifier
    assert (loaded.config.n_classes, loaded.config.class_dimension) == (7, 5)
    np.testing.assert_array_equal(logits_of(loaded, tokens), logits_of(classifier, tokens))
    for name, weight in classifier.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=0, atol=0)


@pytest.mark.parametrize("kind", BACKBONES)
def test_other_backbones_are_saved_and_loaded_too(tokens, tmp_path, kind):
    torch.manual_seed(3)
    config = AutoConfig.for_model(kind, **BACKBONES[kind], max_position_embeddings=80)
    AutoModel.from_config(config).save_pretrained(tmp_path / "backbone")
    classifier = LabelMatchingClassifier.from_backbone(tmp_path / "backbone", n_classes=4, class_dimension=3)
    assert [name for name in classifier.state_dict() if "pooler" in name] == []
    classifier.save_pretrained(tmp_path / "saved")
    loaded = LabelMatchingClassifier.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(logits_of(loaded, tokens), logits_of(classifier, tokens))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_backbone_in_half_precision_trains_and_is_saved_and_loaded_in_fp32(tiny_model, tokens, tmp_path, dtype):
    half = AutoModel.from_pretrained(tiny_model, dtype=dtype)
    half.save_pretrained(tmp_path / "half")
    classifier = LabelMatchingClassifier.from_backbone(tmp_path / "half", n_classes=7, class_dimension=5)
    assert {value.dtype for value in classifier.parameters()} == {torch.float32}
    classifier.save_pretrained(tmp_path / "saved")
    assert stored_types(tmp_path / "saved") == {"F32"}
    assert [file.name for file in (tmp_path / "saved").glob("*.bin")] == []
    for loader in (LabelMatchingClassifier, AutoModel):
        loaded = loader.from_pretrained(tmp_path / "saved")
        assert {value.dtype for value in loaded.parameters()} == {torch.float32}
        np.testing.assert_array_equal(logits_of(loaded, tokens), logits_of(classifier, tokens))


def test_the_backbone_of_a_new_classifier_does_not_depend_on_the_folder_once_it_is_saved(
    classifier, tiny_model, tokens, tmp_path
):
    source = shutil.copytree(tiny_model, tmp_path / "source")
    LabelMatchingClassifier.from_backbone(source, n_classes=7, class_dimension=5).save_pretrained(tmp_path / "saved")
    shutil.rmtree(source)
    loaded = LabelMatchingClassifier.from_pretrained(tmp_path / "saved")
    assert logits_of(loaded, tokens).shape == (4, 7)
    assert str(source) not in (tmp_path / "saved" / "config.json").read_text()
