"""Dropout by bits against what dropout is: a share of zeros, the rest scaled, the same mask in the gradient."""

import pytest
import torch

from teleclass.model.dropout import PIECE, PIECES, Draws, add_dropped, dropout, with_bits

TYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_so_many_values_are_dropped_and_the_others_scaled(dtype, share):
    torch.manual_seed(0)
    values = torch.ones(500, 401, dtype=dtype)
    out = dropout(values, share, Draws())
    assert (out.dtype, out.shape) == (dtype, values.shape)
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / (1 - share), dtype=dtype).item()}
    dropped = (out == 0).double()
    assert dropped.mean().item() == pytest.approx(share, abs=0.004)  # five standard deviations at most
    assert (dropped.mean(dim=0) - share).abs().max() < 0.12  # in every column, so in every 16-bit lane
    neighbours = torch.stack([dropped[:, :-1].flatten(), dropped[:, 1:].flatten()])
    assert torch.corrcoef(neighbours)[0, 1].abs() < 0.015


@pytest.mark.parametrize("dtype", TYPES)
def test_the_gradient_is_dropped_where_the_value_was(dtype):
    torch.manual_seed(0)
    values = torch.randn(64, 33, dtype=dtype, requires_grad=True)
    out = dropout(values, 0.3, Draws())
    out.sum().backward()
    assert ((values.grad == 0) == (out == 0)).all()
    torch.testing.assert_close(values.grad[out != 0].unique(), torch.tensor([1 / 0.7], dtype=dtype))


def test_nothing_is_dropped_in_evaluation_or_with_a_share_of_zero():
    values = torch.randn(8, 8)
    assert dropout(values, 0.5, None) is values
    assert dropout(values, 0.0, Draws()) is values


def test_draws_are_those_of_torchs_generator():
    """A restored state must repeat them."""
    torch.manual_seed(3)
    draws = Draws()
    first, second = (dropout(torch.ones(1000), 0.5, draws) for _ in range(2))
    torch.manual_seed(3)
    torch.testing.assert_close(dropout(torch.ones(1000), 0.5, Draws()), first)
    assert (first != second).any()


def test_masks_of_one_pass_are_independent():
    """Also where the pools are used up and drawn anew, and of one piece and several."""
    torch.manual_seed(0)
    draws = Draws()
    masks = [draws.keep_bits(6 * PIECE, 0.3, torch.bfloat16) for _ in range(40)]
    in_order = torch.stack(masks).float()
    covariance = torch.corrcoef(in_order) - torch.eye(len(masks))
    assert covariance.abs().max() < 5 * (6 * PIECE) ** -0.5
    state = torch.get_rng_state()
    for _ in range(PIECES):
        draws.keep_bits(8, 0.3, torch.bfloat16)
    assert not torch.equal(torch.get_rng_state(), state)
    triples = in_order[0] * in_order[1] * in_order[2]
    assert triples.abs().mean().item() == pytest.approx(0.7**3, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_adding_to_a_stream_is_dropout_and_a_sum(dtype):
    """Double precision is what torch does; there the sum alone is ours."""
    torch.manual_seed(0)
    values, stream, outward = torch.randn(3, 64, 33, dtype=dtype)
    found = []
    for add in (lambda a, b: add_dropped(a, 0.3, Draws(), b), lambda a, b: dropout(a, 0.3, Draws()) + b):
        torch.manual_seed(1)
        leaves = [tensor.clone().requires_grad_() for tensor in (values, stream)]
        out = add(*leaves)
        found.append([out, *torch.autograd.grad(out, leaves, outward)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2**-7, atol=2**-7)
    torch.testing.assert_close(add_dropped(values, 0.3, None, stream), values + stream)


def test_a_tensor_that_is_not_contiguous_is_dropped_in_its_own_order():
    values = torch.arange(1.0, 13).view(3, 4).T
    keep = Draws().keep_bits(12, 0.5, torch.float32)
    expected = torch.where(keep.view(4, 3) == -1, values, 0)
    assert set(keep.tolist()) <= {0, -1}
    torch.testing.assert_close(with_bits(values, keep), expected)


def test_double_precision_is_left_to_torch():
    torch.manual_seed(0)
    out = dropout(torch.ones(1000, dtype=torch.float64), 0.5, Draws())
    assert set(out.tolist()) == {0.0, 2.0}
