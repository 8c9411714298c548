"""Running a function over texts in batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from teleclass.model.batching import TokenizedTexts, tokenize
from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.inference import forward_batches

TEXTS = ["a ripe apple", "the loaf had a dark crust, best bakery in town", "", "climb the ladder", "knife", "knife"]


@pytest.fixture(scope="module")
def classifier(tiny_model):
    torch.manual_seed(1)
    return LabelMatchingClassifier.from_backbone(tiny_model, n_classes=7, class_dimension=5).eval()


@pytest.fixture(scope="module")
def tokens(tiny_model):
    return tokenize(AutoTokenizer.from_pretrained(tiny_model), TEXTS, 64)


def run(function, tokens, rows, budget, dtype=torch.float32):
    return list(
        forward_batches(
            function, tokens, np.array(rows, dtype=int), pad_id=0, device="cpu", dtype=dtype, tokens_per_batch=budget
        )
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), lengths=st.lists(st.integers(1, 20), min_size=1, max_size=30), budget=st.integers(0, 90))
def test_each_row_comes_exactly_once_with_its_own_result(data, lengths, budget):
    """The function gives back the sum of the unpadded ids and their number, which are told apart by row."""
    tokens = TokenizedTexts(np.arange(sum(lengths), dtype=np.int32), np.cumsum([0, *lengths]))
    rows = data.draw(st.lists(st.sampled_from(range(len(lengths))), unique=True))

    def function(ids, mask):
        assert budget == 0 or len(ids) == 1 or ids.numel() <= budget
        return torch.stack([(ids * mask).sum(dim=1), mask.sum(dim=1)], dim=1)

    seen = {}
    for batch, values in run(function, tokens, rows, budget):
        assert values.dtype == np.float32
        assert not set(batch.tolist()) & set(seen)
        seen.update(zip(batch.tolist(), values.tolist(), strict=True))
    assert seen == {row: [tokens[row].sum(), lengths[row]] for row in rows}


@pytest.mark.parametrize("budget", [1, 12, 30, 0])
def test_any_budget_gives_the_classifiers_own_logits(classifier, tokens, budget):
    with torch.no_grad():
        alone = [classifier(torch.tensor(tokens[row][None]).long(), torch.ones(1, len(tokens[row]))) for row in (3, 1, 2, 5)]
    expected = dict(zip((3, 1, 2, 5), torch.cat(alone).numpy(), strict=True))
    batches = run(classifier, tokens, [3, 1, 2, 5], budget)
    assert len(batches) == {1: 4, 12: 2, 30: 2, 0: 1}[budget] if budget in (1, 0) else len(batches) > 1
    found = {row: value for rows, values in batches for row, value in zip(rows.tolist(), values, strict=True)}
    assert sorted(found) == [1, 2, 3, 5]
    for row, value in found.items():
        np.testing.assert_allclose(value, expected[row], atol=1e-5)


def test_nothing_keeps_a_graph_and_the_callers_own_mode_is_left_alone(classifier, tokens):
    modes = []

    def function(ids, mask):
        modes.append(torch.is_inference_mode_enabled())
        return classifier(ids, mask)

    for _ in forward_batches(
        function, tokens, np.arange(6), pad_id=0, device="cpu", dtype=torch.float32, tokens_per_batch=12
    ):
        modes.append(torch.is_inference_mode_enabled())
    assert modes == [True, False] * (len(modes) // 2)
    assert len(modes) >= 4


def test_bf16_is_used_inside_and_the_results_are_float32(tokens):
    layer = torch.nn.Linear(1, 3)
    inside = []

    def function(ids, mask):
        inside.append(layer(mask.sum(dim=1, keepdim=True).float()))
        return inside[-1]

    (_, half), = run(function, tokens, [0], 0, torch.bfloat16)
    (_, full), = run(function, tokens, [0], 0, torch.float32)
    assert [value.dtype for value in inside] == [torch.bfloat16, torch.float32]
    assert half.dtype == full.dtype == np.float32
    np.testing.assert_allclose(half, full, rtol=0.02, atol=0.05)


def test_no_rows_call_nothing(classifier, tokens):
    assert run(classifier, tokens, [], 12) == []
