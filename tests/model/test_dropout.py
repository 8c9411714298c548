"""Dropout by bits against what dropout is: a share of zeros, the rest scaled, the same mask in the gradient."""

import pytest
import torch

from teleclass.model.dropout import dropout, keep_bits, with_bits

TYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_so_many_values_are_dropped_and_the_others_scaled(dtype, share):
    torch.manual_seed(0)
    values = torch.ones(500, 401, dtype=dtype)
    out = dropout(values, share, training=True)
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
    out = dropout(values, 0.3, training=True)
    out.sum().backward()
    assert ((values.grad == 0) == (out == 0)).all()
    torch.testing.assert_close(values.grad[out != 0].unique(), torch.tensor([1 / 0.7], dtype=dtype))


def test_nothing_is_dropped_in_evaluation_or_with_a_share_of_zero():
    values = torch.randn(8, 8)
    assert dropout(values, 0.5, training=False) is values
    assert dropout(values, 0.0, training=True) is values


def test_draws_are_those_of_torchs_generator():
    """A restored state must repeat them."""
    torch.manual_seed(3)
    first, second = (dropout(torch.ones(1000), 0.5, True) for _ in range(2))
    torch.manual_seed(3)
    torch.testing.assert_close(dropout(torch.ones(1000), 0.5, True), first)
    assert (first != second).any()


def test_a_tensor_that_is_not_contiguous_is_dropped_in_its_own_order():
    values = torch.arange(1.0, 13).view(3, 4).T
    keep = keep_bits(12, 0.5, torch.float32)
    expected = torch.where(keep.view(4, 3) == -1, values, 0)
    assert set(keep.tolist()) <= {0, -1}
    torch.testing.assert_close(with_bits(values, keep), expected)


def test_double_precision_is_left_to_torch():
    torch.manual_seed(0)
    out = dropout(torch.ones(1000, dtype=torch.float64), 0.5, True)
    assert set(out.tolist()) == {0.0, 2.0}
