import math

import pytest
import torch

from teleclass.model.loss import masked_bce

LOG2 = math.log(2)


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def test_the_loss_is_the_weighted_sum_over_documents_of_sums_over_counted_classes():
    """The loss of a logit z is log(1 + exp(-z)) where the target is 1, log(1 + exp(z)) where it is 0."""
    logits = torch.tensor([[0.0, 2.0, -1.0], [1.0, 0.0, 3.0]])
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    counted = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    weights = torch.tensor([0.5, 1.5])
    first = LOG2 + softplus(2.0)  # the third class is ignored
    second = softplus(1.0) + LOG2 + softplus(-3.0)
    loss = masked_bce(logits, targets, counted, weights)
    assert loss.item() == pytest.approx(0.5 * first + 1.5 * second, rel=1e-6)


def test_the_gradient_is_the_probability_minus_the_target_and_zero_for_ignored_classes():
    logits = torch.tensor([[0.0, 0.0, 5.0], [math.log(3), 0.0, 0.0]], requires_grad=True)
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    counted = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    masked_bce(logits, targets, counted, torch.tensor([1.0, 2.0])).backward()
    # (sigmoid(z) - target) × weight; sigmoid(log 3) = 0.75
    expected = torch.tensor([[-0.5, 0.5, 0.0], [1.5, 0.0, 1.0]])
    torch.testing.assert_close(logits.grad, expected)


def test_a_document_without_weight_teaches_nothing():
    logits = torch.zeros(2, 3, requires_grad=True)
    ones = torch.ones(2, 3)
    loss = masked_bce(logits, ones, ones, torch.tensor([0.0, 2.0]))
    assert loss.item() == pytest.approx(2.0 * 3 * LOG2)
    loss.backward()
    assert (logits.grad[0] == 0).all()
    assert (logits.grad[1] != 0).all()


def test_the_same_document_twice_at_half_the_weight_has_the_loss_of_one_and_twice_the_classes_twice_the_loss():
    """Weights make a mean over documents, classes add up: the learning rate means the same at every batch size."""
    logits, targets = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.0, 1.0]])
    counted, weights = torch.ones(1, 2), torch.ones(1)
    one = masked_bce(logits, targets, counted, weights)
    documents = masked_bce(logits.repeat(2, 1), targets.repeat(2, 1), counted.repeat(2, 1), weights.repeat(2) / 2)
    classes = masked_bce(logits.repeat(1, 2), targets.repeat(1, 2), counted.repeat(1, 2), weights)
    assert documents.item() == pytest.approx(one.item())
    assert classes.item() == pytest.approx(2 * one.item())


def test_half_precision_logits_are_reckoned_in_fp32_without_overflow():
    """512 classes at log(1 + exp(200)) = 200 sum to 102400, beyond fp16's 65504."""
    logits = torch.full((1, 512), 200.0, dtype=torch.float16)
    loss = masked_bce(logits, torch.zeros(1, 512), torch.ones(1, 512), torch.ones(1))
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(512 * 200.0)
