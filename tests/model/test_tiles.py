"""Attention on whole tiles and fused linear layers, against plain softmax attention and torch's linear layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_attention import attend_plainly
from torch import nn
from torch.nn import functional

from teleclass.model import tiles
from teleclass.model.attention import Attention
from teleclass.model.batching import TokenizedTexts, packed
from teleclass.model.packed_attention import PackedAttention
from teleclass.model.tiles import TILE, TiledAttention, linear, linear_gelu, takes_tiles
from teleclass.runtime.devices import has_onednn_products

LENGTHS = [5, 40, 16, 1, 17, 32, 31, 5, 2 * TILE]
"""Less than a tile, whole tiles, one token more and one less; in no order."""
N_HEADS, WIDTH = 3, 24


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    tensors = [torch.randn(sum(LENGTHS), WIDTH) for _ in range(3)]
    return [*tensors, torch.randn(N_HEADS, max(LENGTHS), max(LENGTHS))]


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_every_token_attends_to_its_own_text_alone(inputs, with_bias, dtype, tolerance):
    *three, bias = (tensor.to(dtype) for tensor in inputs)
    attend = TiledAttention(LENGTHS, N_HEADS, bias if with_bias else None, dtype)
    out = attend(torch.cat(three, 1))
    expected = attend_plainly(
        LENGTHS, N_HEADS, *(tensor.float() for tensor in three), bias.float() if with_bias else None
    )
    assert out.dtype is dtype
    torch.testing.assert_close(out.float(), expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(attend(torch.cat(three, 1)), out, rtol=0, atol=0)


def test_texts_of_whole_tiles_need_no_mask_and_texts_of_one_width_one_call(inputs):
    assert TiledAttention([32, 32], 1, None, torch.float32)._groups == [tiles._Group(2, 32, None)]
    assert [(group.n, group.width) for group in TiledAttention(LENGTHS, 1, None, torch.float32)._groups] == [
        (4, 16), (4, 32), (1, 48),
    ]  # fmt: skip


def tensors(dtype=torch.bfloat16, wants_gradient=False):
    return [torch.zeros(2, 3, dtype=dtype, requires_grad=wants_gradient), None]


def test_tiles_are_for_bf16_without_gradients_on_a_cpu_with_amx(monkeypatch):
    monkeypatch.setattr(tiles, "has_amx", lambda: True)
    assert takes_tiles(*tensors())
    assert not takes_tiles(*tensors(torch.float32))
    assert not takes_tiles(*tensors(wants_gradient=True))
    with torch.no_grad():
        assert takes_tiles(*tensors(wants_gradient=True))
    assert not takes_tiles(torch.zeros(2, 3, dtype=torch.bfloat16, device="meta"))
    monkeypatch.setattr(tiles, "has_amx", lambda: False)
    assert not takes_tiles(*tensors())


@pytest.mark.parametrize("is_there", [True, False])
def test_both_ways_of_a_cpu_give_the_same_attention_and_the_same_linear_layer(inputs, monkeypatch, is_there):
    monkeypatch.setattr(tiles, "has_amx", lambda: is_there)
    called = []
    monkeypatch.setattr(PackedAttention, "forward", lambda *_, run=PackedAttention.forward: called.append(1) or run(*_))
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    batch = packed(TokenizedTexts(np.zeros(starts[-1], dtype=np.int32), starts), np.arange(len(LENGTHS)))
    *three, bias = (tensor.bfloat16() for tensor in inputs)
    out = Attention(batch, N_HEADS, functional.pad(bias, (0, TILE, 0, TILE)))(torch.cat(three, 1))
    assert bool(called) is not is_there
    expected = attend_plainly(LENGTHS, N_HEADS, *(tensor.float() for tensor in three), bias.float())
    torch.testing.assert_close(out.float(), expected, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_and_its_gradients_are_torchs_own(monkeypatch, bias):
    monkeypatch.setattr(tiles, "has_amx", lambda: True)
    torch.manual_seed(1)
    layer, tokens, outward = nn.Linear(48, 80, bias=bias), torch.randn(37, 48), torch.randn(37, 80).bfloat16()
    exact = layer(tokens)
    layer, tokens = layer.bfloat16(), tokens.bfloat16().requires_grad_()
    leaves = [tokens, *layer.parameters()]
    out, theirs = linear(tokens, layer.weight, layer.bias), layer(tokens)
    assert ("Fused" in type(out.grad_fn).__name__) == hasattr(torch.ops.mkldnn, "_linear_pointwise")
    torch.testing.assert_close(out, theirs, rtol=2**-7, atol=2**-7)
    torch.testing.assert_close(out.float(), exact, rtol=0.02, atol=0.02)
    for got, want in zip(*(torch.autograd.grad(one, leaves, outward) for one in (out, theirs)), strict=True):
        torch.testing.assert_close(got, want, rtol=2**-6, atol=2**-6)
    with torch.inference_mode():
        torch.testing.assert_close(linear(tokens, layer.weight, layer.bias), theirs, rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_gelu_of_a_linear_layer_is_torchs_own_and_has_its_gradients(monkeypatch, bias, is_fast):
    monkeypatch.setattr(tiles, "has_onednn_products", lambda: is_fast)
    called = []
    monkeypatch.setattr(functional, "gelu", lambda one, gelu=functional.gelu, **_: called.append(1) or gelu(one))
    torch.manual_seed(2)
    layer, tokens, outward = nn.Linear(48, 80, bias=bias), torch.randn(37, 48), torch.randn(37, 80).bfloat16()
    exact = nn.GELU()(layer(tokens))
    torch.testing.assert_close(linear_gelu(tokens, layer.weight, layer.bias), exact, rtol=1e-6, atol=1e-6)
    layer, tokens = layer.bfloat16(), tokens.bfloat16().requires_grad_()
    theirs = nn.GELU()(layer(tokens))
    called.clear()
    with torch.no_grad():
        out = linear_gelu(tokens, layer.weight, layer.bias)
    assert bool(called) == (not is_fast)
    assert out.dtype is torch.bfloat16
    torch.testing.assert_close(out.float(), exact, rtol=0.02, atol=0.02)
    leaves = [tokens, *layer.parameters()]
    out = linear_gelu(tokens, layer.weight, layer.bias)
    for got, want in zip(*(torch.autograd.grad(one, leaves, outward) for one in (out, theirs)), strict=True):
        torch.testing.assert_close(got, want, rtol=2**-6, atol=2**-6)
    if bias:  # alone
        out = linear_gelu(tokens.detach(), layer.weight.detach(), layer.bias)
        torch.testing.assert_close(torch.autograd.grad(out, layer.bias, outward)[0], got, rtol=0, atol=0)


def test_rows_of_no_text_are_finite(inputs):
    attend = TiledAttention(LENGTHS, N_HEADS, None, torch.float32)
    projected = torch.cat(inputs[:3], 1)
    longer = attend(torch.cat([projected, projected[:3]]))
    assert len(longer) == len(projected) + 3
    assert longer.isfinite().all()
    alone = TiledAttention(LENGTHS, N_HEADS, None, torch.float32)(projected)
    torch.testing.assert_close(longer[:-3], alone, rtol=0, atol=0)


@pytest.mark.skipif(not has_onednn_products(), reason="the CPU has no bf16 instructions")
def test_this_torch_has_the_fused_linear_layer():
    assert hasattr(torch.ops.mkldnn, "_linear_pointwise")
