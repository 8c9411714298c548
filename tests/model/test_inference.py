"""The classifier over many texts, batch by batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from teleclass.errors import MemoryShortageError
from teleclass.model import inference
from teleclass.model.batching import tokenize
from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.inference import forward_batches
from teleclass.runtime.memory import peak, reset_halvings

TEXTS = [" ".join(["ripe", "apple", "ladder", "crust", "knife"][number % 5 :] * (number % 4)) for number in range(24)]
ROWS = np.array([20, 3, 17, 5, 4, 11, 23, 9, 0, 8])
"""Some of the texts, in no order: the results belong to these numbers, not to places among them."""


@pytest.fixture(scope="module")
def classifier(tiny_model):
    torch.manual_seed(1)
    return LabelMatchingClassifier.from_backbone(tiny_model, n_classes=7, class_dimension=5).eval()


@pytest.fixture(scope="module")
def tokens(tiny_model):
    return tokenize(AutoTokenizer.from_pretrained(tiny_model), TEXTS, 64)


def batches_of(function, tokens, rows=ROWS, dtype=torch.float32, budget=0, pad_id=None):
    return forward_batches(
        function, tokens, rows, device="cpu", dtype=dtype, pad_id=pad_id, tokens_per_batch=budget
    )  # fmt: skip


def run(*arguments, **options):
    return list(batches_of(*arguments, **options))


@pytest.fixture(scope="module")
def expected(classifier, tokens):
    """Row by row and without any padding."""
    with torch.no_grad():
        return {
            row: classifier(ids).numpy()[0]
            for row in ROWS.tolist()
            for ids in [torch.from_numpy(tokens[row].astype(np.int64))[None]]
        }


@pytest.mark.parametrize("pad_id", [None, 0])
@pytest.mark.parametrize(("budget", "n_batches"), [(1, 10), (30, None), (0, 1)])
def test_any_budget_gives_each_row_once_with_its_own_result(classifier, tokens, expected, budget, n_batches, pad_id):
    batches = run(lambda batch: classifier(batch=batch), tokens, budget=budget, pad_id=pad_id)
    assert n_batches in (None, len(batches))
    assert sorted(row for rows, _ in batches for row in rows.tolist()) == sorted(ROWS.tolist())
    for rows, values in batches:
        assert values.dtype == np.float32
        for row, value in zip(rows.tolist(), values, strict=True):
            np.testing.assert_allclose(value, expected[row], atol=1e-5)


def test_no_row_gives_no_batch(classifier, tokens):
    assert run(lambda batch: classifier(batch=batch), tokens, rows=np.array([], dtype=np.int64)) == []


def test_a_batch_is_within_the_budget(tokens):
    sizes = []

    def size(batch):
        sizes.append(batch.ids.numel())
        assert batch.mask.sum(dim=1).tolist() == sorted(batch.mask.sum(dim=1).tolist(), reverse=True)
        return batch.mask.sum(dim=1, keepdim=True)

    for rows, values in run(size, tokens, budget=40, pad_id=0):
        assert values[:, 0].tolist() == tokens.lengths[rows].tolist()
    assert max(sizes) <= 40
    assert len(sizes) > 1


def test_sixteen_bit_arithmetic_gives_float32_features_near_the_exact_ones(classifier, tokens):
    exact, mixed = (
        run(classifier.document_features, tokens, dtype=dtype)[0] for dtype in (torch.float32, torch.bfloat16)
    )
    np.testing.assert_array_equal(exact[0], mixed[0])
    assert mixed[1].dtype == np.float32
    assert 1e-5 < np.abs(mixed[1] - exact[1]).max() < 0.1  # it did compute in bf16, and nearly the same


def test_the_consumer_may_still_train_between_two_batches(classifier, tokens):
    """Inference mode and autocast are the batches' own, not that of the loop around them."""
    batches = batches_of(lambda batch: classifier(batch=batch), tokens, dtype=torch.bfloat16, budget=30)
    next(batches)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")
    next(batches)


def test_bf16_results_of_the_function_come_as_float32(tokens):
    """numpy has no bf16."""
    one = run(
        lambda batch: batch.mask.sum(dim=1, keepdim=True).to(torch.bfloat16), tokens, np.array([0]), torch.bfloat16,
        pad_id=0,
    )  # fmt: skip
    ((rows, values),) = one
    assert values.dtype == np.float32
    assert (rows.tolist(), values.tolist()) == ([0], [[tokens.lengths[0]]])


@pytest.fixture
def short_of_memory(monkeypatch):
    """What a device has been seen to hold is forgotten after the test."""
    monkeypatch.setattr(inference, "_fitting", {})
    reset_halvings()


def within(limit: int, function, seen: list[int]):
    """A function for which the device has memory for so many tokens at once, counted as they are computed."""

    def limited(batch):
        n_tokens = batch.ids.numel()
        if n_tokens > limit:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {n_tokens} tokens")
        seen.append(n_tokens)
        return function(batch=batch)

    return limited


@pytest.mark.parametrize("pad_id", [None, 0])
def test_out_of_memory_halves_the_tokens_and_every_row_still_comes_once(
    classifier, tokens, expected, short_of_memory, pad_id, caplog
):
    """All the rows at once are about 60 tokens; 20 fit."""
    seen: list[int] = []
    with caplog.at_level("INFO", logger="teleclass"):
        batches = run(within(20, classifier, seen), tokens, budget=100, pad_id=pad_id)
    assert len(seen) == len(batches) > 2
    assert sorted(row for rows, _ in batches for row in rows.tolist()) == sorted(ROWS.tolist())
    for rows, values in batches:
        for row, value in zip(rows.tolist(), values, strict=True):
            np.testing.assert_allclose(value, expected[row], atol=1e-5)
    told = [one for one in caplog.messages if "out of memory on cpu: tokens a batch go down" in one]
    assert len(told) == peak().halvings > 0

    caplog.clear()
    again = run(within(20, classifier, seen), tokens, budget=100, pad_id=pad_id)
    assert len(again) >= len(batches)
    assert not caplog.records, "what fitted the last time is taken from the start"


def test_a_text_alone_that_does_not_fit_ends_with_what_to_do(classifier, tokens, short_of_memory):
    longest = int(tokens.lengths[ROWS].max())
    with pytest.raises(MemoryShortageError, match=f"one text of {longest} tokens does not fit.*max_tokens"):
        run(within(longest - 1, classifier, []), tokens, budget=100)


def test_another_error_is_not_taken_for_a_lack_of_memory(tokens):
    def broken(batch):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        run(broken, tokens)
