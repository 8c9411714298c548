"""The classifier, its loss, the start of its head, and running it in batches."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from teleclass.model.batching import padded, tokenize
from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.head import start_head
from teleclass.model.inference import forward_batches
from teleclass.model.loss import masked_bce

TEXTS = ["a ripe apple", "the loaf had a dark crust, best bakery in town", "", "climb the ladder"]


@pytest.fixture(scope="module")
def classifier(tiny_model):
    torch.manual_seed(1)
    return LabelMatchingClassifier.from_backbone(tiny_model, n_classes=7, class_dimension=5).eval()


@pytest.fixture(scope="module")
def tokens(tiny_model):
    return tokenize(AutoTokenizer.from_pretrained(tiny_model), TEXTS, 64)


def logits_of(classifier, tokens, rows) -> np.ndarray:
    ids, mask = padded(tokens, rows, 0)
    with torch.no_grad():
        return classifier(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()


def test_the_loss_is_the_weighted_mean_over_documents_of_sums_over_counted_classes():
    logits = torch.tensor([[0.0, 2.0, -1.0], [1.0, 0.0, 3.0]], requires_grad=True)
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    counted = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    weights = torch.tensor([0.5, 1.5])
    first = np.log(2) + np.log1p(np.exp(2.0))  # the third class is ignored
    second = np.log1p(np.exp(1.0)) + np.log(2) + np.log1p(np.exp(-3.0))
    loss = masked_bce(logits, targets, counted, weights)
    assert loss.item() == pytest.approx((0.5 * first + 1.5 * second) / 2, rel=1e-6)
    loss.backward()
    assert logits.grad[0, 2] == 0
    assert (logits.grad[0, :2] != 0).all()


def test_padding_changes_no_documents_logits(classifier, tokens):
    together = logits_of(classifier, tokens, [0, 1, 2, 3])
    for row in range(len(TEXTS)):
        np.testing.assert_allclose(logits_of(classifier, tokens, [row])[0], together[row], atol=1e-5)


@pytest.mark.parametrize("budget", [1, 12, 4096])
def test_batches_give_every_row_once_whatever_the_budget(classifier, tokens, budget):
    expected = logits_of(classifier, tokens, [0, 1, 2, 3])
    seen = []
    for rows, values in forward_batches(
        classifier, tokens, np.array([3, 1, 2]), pad_id=0, device="cpu", dtype=torch.float32, tokens_per_batch=budget
    ):
        seen.extend(rows.tolist())
        np.testing.assert_allclose(values, expected[rows], atol=1e-5)
    assert sorted(seen) == [1, 2, 3]


def test_it_saves_and_loads_the_hugging_face_way(classifier, tokens, tmp_path):
    classifier.save_pretrained(tmp_path)
    expected = logits_of(classifier, tokens, [0, 1])
    for loaded in (LabelMatchingClassifier.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert type(loaded) is LabelMatchingClassifier
        np.testing.assert_allclose(logits_of(loaded.eval(), tokens, [0, 1]), expected, atol=1e-6)
    assert not list(tmp_path.glob("*.bin"))


def test_the_backbone_is_the_pretrained_one(classifier, tiny_model):
    own = classifier.backbone.state_dict()
    for name, weight in AutoModel.from_pretrained(tiny_model).state_dict().items():
        if name in own:
            torch.testing.assert_close(own[name], weight)
    assert not [name for name in own if "pooler" in name]


def test_the_head_starts_at_the_scores_it_is_given(classifier):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 32)).astype(np.float32)
    documents = features @ generator.normal(size=(32, 5)) + 1  # a linear map, and an offset
    documents = (documents / np.linalg.norm(documents, axis=1, keepdims=True)).astype(np.float32)
    classes = generator.normal(size=(7, 5)).astype(np.float32)
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    planted = documents @ classes.T
    targets = (planted > 0.6).astype(np.float32)
    start_head(classifier, features, documents, classes, targets)
    with torch.no_grad():
        projected = torch.nn.functional.normalize(classifier.projection(torch.from_numpy(features)), dim=1)
        logits = classifier.log_scale.exp() * (projected @ classifier.class_vectors.T) + classifier.class_bias
    agreement = (logits.numpy().argmax(axis=1) == planted.argmax(axis=1)).mean()
    assert agreement > 0.85
    predicted = torch.sigmoid(logits).numpy()
    assert predicted[targets == 1].mean() > 0.6
    assert predicted[targets == 0].mean() < 0.15
