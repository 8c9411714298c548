"""Attention within packed texts against plain softmax attention of each text alone."""

import numpy as np
import pytest
import torch
from plain_attention import attend_plainly

from teleclass.model.attention import RUN_SCORES, Attention, Run, runs_of
from teleclass.model.batching import TokenizedTexts, packed

LENGTHS = [5, 5, 3, 1, 7, 7, 7]
N_HEADS, WIDTH = 2, 8


@pytest.fixture
def batch():
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    return packed(TokenizedTexts(np.arange(starts[-1], dtype=np.int32), starts), np.arange(len(LENGTHS)))


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    tensors = [torch.randn(sum(LENGTHS), WIDTH, requires_grad=True) for _ in range(3)]
    return [*tensors, torch.randn(N_HEADS, 9, 9, requires_grad=True)]


def attention(query, key, value, batch, n_heads, dropout=0.0):
    return Attention(batch, n_heads)(query, key, value, dropout)


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_values_and_gradients_are_those_of_each_text_alone(batch, inputs, is_padded, with_bias):
    arguments = inputs if with_bias else inputs[:3]
    outward = torch.randn(sum(LENGTHS), WIDTH)
    expected = attend_plainly(LENGTHS, N_HEADS, *arguments)
    wanted = torch.autograd.grad(expected, arguments, outward)
    out = Attention(batch, N_HEADS, arguments[3] if with_bias else None, is_padded)(*arguments[:3])
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    for got, want in zip(torch.autograd.grad(out, arguments, outward), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_padded", [False, True])
def test_texts_of_one_length_need_no_padding(is_padded):
    tokens = TokenizedTexts(np.arange(12, dtype=np.int32), np.arange(0, 13, 4))
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 12, WIDTH)
    out = Attention(packed(tokens, [0, 1, 2]), N_HEADS, padded=is_padded)(query, key, value)
    for number in range(3):
        rows = slice(4 * number, 4 * number + 4)
        alone = Attention(packed(tokens, [number]), N_HEADS)(query[rows], key[rows], value[rows])
        torch.testing.assert_close(out[rows], alone, rtol=1e-5, atol=1e-6)


def test_bf16_is_near_fp32_and_stays_bf16(batch, inputs):
    exact = attention(*inputs[:3], batch, N_HEADS)
    rounded = attention(*(tensor.bfloat16() for tensor in inputs[:3]), batch, N_HEADS)
    assert rounded.dtype is torch.bfloat16
    assert 1e-5 < (rounded.float() - exact).abs().max() < 0.03


def test_dropout_drops_probabilities_and_is_right_on_average(batch, inputs):
    """With every value 1, a token's output is the sum of its probabilities: 1 on average, not 1 with dropout."""
    torch.manual_seed(0)
    ones = torch.ones_like(inputs[2])
    outs = torch.stack([attention(*inputs[:2], ones, batch, N_HEADS, dropout=0.2) for _ in range(400)])
    assert (outs.mean(dim=0) - 1).abs().max() < 0.25
    assert abs(outs.mean() - 1) < 0.02
    assert outs.std(dim=0)[0].min() > 0.1
    lonely = sum(LENGTHS[:3])  # a text of one token has one probability, of 1
    assert set(outs[:, lonely].unique().tolist()) == {0.0, 1.25}


def test_the_gradient_under_dropout_is_that_of_the_function_with_the_same_draws(batch, inputs):
    """By differences, each evaluation from the same state of the generator."""

    def value(*three):
        torch.manual_seed(7)
        return (attention(*three, batch, N_HEADS, dropout=0.3) * outward).sum()

    outward = torch.randn(sum(LENGTHS), WIDTH)
    gradients = torch.autograd.grad(value(*inputs[:3]), inputs[:3])
    for number, gradient in enumerate(gradients):
        for token, column in [(0, 0), (6, 3), (20, 7)]:
            step = torch.zeros_like(gradient)
            step[token, column] = 1e-2
            with torch.no_grad():
                up, down = (
                    value(*(tensor + sign * step if n == number else tensor for n, tensor in enumerate(inputs[:3])))
                    for sign in (1, -1)
                )
            slope = (up - down).item() / 2e-2
            assert gradient[token, column].item() == pytest.approx(slope, rel=0.02, abs=2e-3)


def test_runs_hold_every_text_once_of_one_length_and_no_more_than_fit_the_cache():
    lengths = [9, 9, 9, 4, 9, *[130] * 5, *[60] * 20, 3]
    runs = list(runs_of(lengths))
    assert runs[:3] == [Run(0, 3, 9), Run(27, 1, 4), Run(31, 1, 9)]
    assert [run.length for run in runs for _ in range(run.n)] == lengths
    assert [run.start for run in runs] == [0, *(run.stop for run in runs[:-1])]
    assert all(run.n == 1 or run.n * run.length**2 <= RUN_SCORES for run in runs)
    assert [run.n for run in runs if run.length == 60] == [9, 9, 2]
    assert [run.n for run in runs if run.length == 130] == [1] * 5
    assert list(runs_of([])) == []
