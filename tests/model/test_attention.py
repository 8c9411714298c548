"""Attention within packed texts against plain softmax attention of each text alone."""

import numpy as np
import pytest
import torch
from plain_attention import attend_plainly

from teleclass.model import attention as module
from teleclass.model.attention import Attention
from teleclass.model.batching import TokenizedTexts, packed
from teleclass.model.dropout import Draws
from teleclass.model.packed_attention import RUN_SCORES, TILED_RUN_SCORES, runs_of

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


@pytest.fixture(params=[1, 4], ids=["as they are", "filled up"])
def tile(request, monkeypatch):
    """Texts as they are, and filled up to tiles of four: then to widths of 8, 4 and 8, five texts of both lengths."""
    monkeypatch.setattr(module, "tile_of", lambda dtype: request.param)
    return request.param


def attention(query, key, value, batch, n_heads, dropout=0.0):
    return Attention(batch, n_heads)(torch.cat([query, key, value], 1), dropout, Draws())


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_values_and_gradients_are_those_of_each_text_alone(batch, inputs, tile, is_padded, with_bias):
    arguments = inputs if with_bias else inputs[:3]
    outward = torch.randn(sum(LENGTHS), WIDTH)
    expected = attend_plainly(LENGTHS, N_HEADS, *arguments)
    wanted = torch.autograd.grad(expected, arguments, outward)
    out = Attention(batch, N_HEADS, arguments[3] if with_bias else None, is_padded)(torch.cat(arguments[:3], 1))
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    for got, want in zip(torch.autograd.grad(out, arguments, outward), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_padded", [False, True])
def test_texts_of_one_length_need_no_padding(is_padded):
    tokens = TokenizedTexts(np.arange(12, dtype=np.int32), np.arange(0, 13, 4))
    torch.manual_seed(0)
    projected = torch.randn(12, 3 * WIDTH)
    out = Attention(packed(tokens, [0, 1, 2]), N_HEADS, padded=is_padded)(projected)
    for number in range(3):
        rows = slice(4 * number, 4 * number + 4)
        alone = Attention(packed(tokens, [number]), N_HEADS)(projected[rows])
        torch.testing.assert_close(out[rows], alone, rtol=1e-5, atol=1e-6)


def test_bf16_is_near_fp32_and_stays_bf16(batch, inputs):
    exact = attention(*inputs[:3], batch, N_HEADS)
    rounded = attention(*(tensor.bfloat16() for tensor in inputs[:3]), batch, N_HEADS)
    assert rounded.dtype is torch.bfloat16
    assert 1e-5 < (rounded.float() - exact).abs().max() < 0.03


def test_dropout_drops_probabilities_and_is_right_on_average(batch, inputs, tile):
    """With every value 1, a token's output is the sum of its probabilities: 1 on average, not 1 with dropout."""
    torch.manual_seed(0)
    ones = torch.ones_like(inputs[2])
    outs = torch.stack([attention(*inputs[:2], ones, batch, N_HEADS, dropout=0.2) for _ in range(400)])
    assert (outs.mean(dim=0) - 1).abs().max() < 0.25
    assert abs(outs.mean() - 1) < 0.02
    assert outs.std(dim=0)[0].min() > 0.1
    lonely = sum(LENGTHS[:3])  # a text of one token has one probability, of 1
    assert set(outs[:, lonely].unique().tolist()) == {0.0, 1.25}


def test_the_gradient_under_dropout_is_that_of_the_function_with_the_same_draws(batch, inputs, tile):
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


def test_rows_of_no_text_are_zero_and_have_no_gradient(batch, inputs, tile):
    """What a CPU computes beside the tokens, whatever stands there."""
    projected = torch.cat(inputs[:3], 1).detach()
    longer = torch.cat([projected, torch.full((3, 3 * WIDTH), 9.0)]).requires_grad_()
    out = Attention(batch, N_HEADS)(longer)
    torch.testing.assert_close(out[:-3], Attention(batch, N_HEADS)(projected))
    assert not out[-3:].any()
    (gradient,) = torch.autograd.grad(out, [longer], torch.randn_like(out))
    assert gradient[:-3].any()
    assert not gradient[-3:].any()


@pytest.mark.parametrize("tile", [1, 16])
def test_runs_hold_every_text_once_of_one_width_and_no_more_than_fit_the_cache(tile):
    lengths = [9, 9, 9, 4, 9, *[130] * 8, *[60] * 40, 3]
    runs = runs_of(lengths, tile)
    starts = np.cumsum([0, *lengths])
    assert [run.start for run in runs] == [0, *(run.stop for run in runs[:-1])]
    first, most = 0, RUN_SCORES if tile == 1 else TILED_RUN_SCORES
    for run in runs:
        own = lengths[first : first + run.n]
        assert (run.start, run.stop) == (starts[first], starts[first + run.n])
        assert {-(-length // tile) * tile for length in own} == {run.width}
        assert run.n == 1 or run.n * run.width**2 <= most
        first += run.n
    assert first == len(lengths)
    widths = [(run.n, run.width) for run in runs]
    if tile == 1:
        assert widths == [(3, 9), (1, 4), (1, 9), *[(1, 130)] * 8, *[(9, 60)] * 4, (4, 60), (1, 3)]
        assert all(run.mask is None for run in runs)
    else:
        assert widths == [(5, 16), (6, 144), (2, 144), (32, 64), (8, 64), (1, 16)]
        assert (runs[0].mask == 0).sum(dim=3).flatten().tolist() == lengths[:5]
    assert runs_of([]) == []
