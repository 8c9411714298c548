"""Packed forward passes against transformers' own, padded: values, gradients, and what is left to the model itself."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertConfig, DistilBertConfig, MPNetConfig, RobertaConfig

from teleclass.model.attention import Attention
from teleclass.model.batching import TokenizedTexts, packed, padded
from teleclass.model.packed import hidden_states, is_packable, mean_of_tokens, narrow_linear_layers

SHAPE = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 200,
}  # fmt: skip
CONFIGS = {
    "bert": BertConfig(**SHAPE, pad_token_id=0),
    "bert of another activation": BertConfig(**SHAPE, pad_token_id=0, hidden_act="relu"),
    "roberta": RobertaConfig(**SHAPE, pad_token_id=1),
    "mpnet": MPNetConfig(**SHAPE, pad_token_id=1),
}
LENGTHS = [150, 12, 12, 40, 2, 7]  # beyond the 128 positions after which MPNet's buckets end


@pytest.fixture(params=CONFIGS)
def backbone(request):
    torch.manual_seed(0)
    model = AutoModel.from_config(CONFIGS[request.param], add_pooling_layer=False).eval()
    with torch.no_grad():  # at their small start nothing would tell one token from another
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.fixture
def tokens():
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    return TokenizedTexts(np.random.default_rng(0).integers(5, 60, starts[-1]).astype(np.int32), starts)


def by_transformers(backbone, tokens, rows):
    """Hidden states of the tokens that are not padding, (T, H)."""
    batch = padded(tokens, rows, backbone.config.pad_token_id)
    return backbone(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state[batch.mask.bool()]


@torch.no_grad()
def test_hidden_states_are_those_of_the_padded_model(backbone, tokens):
    rows = [3, 0, 5, 1, 4, 2]
    states = hidden_states(backbone, packed(tokens, rows))
    torch.testing.assert_close(states, by_transformers(backbone, tokens, rows), rtol=2e-5, atol=2e-5)
    assert states.std() > 0.1


def test_gradients_are_those_of_the_padded_model_to_a_millionth(backbone, tokens):
    """In fp32: all of them together beside the padded model's, and each parameter's beside the padded model's in fp64.

    The padded model's own rounding is up to 1.04e-6 of a single parameter's gradient, ours .6e-6 (an EPYC, five seeds).
    """
    rows = np.arange(len(LENGTHS))
    outward = torch.randn(sum(LENGTHS), SHAPE["hidden_size"], generator=torch.Generator().manual_seed(1))
    exact_backbone = copy.deepcopy(backbone).double()
    ours = gradients(backbone, hidden_states(backbone, packed(tokens, rows)), outward)
    theirs = gradients(backbone, by_transformers(backbone, tokens, rows), outward)
    exact = gradients(exact_backbone, by_transformers(exact_backbone, tokens, rows), outward.double())
    assert ours.keys() == theirs.keys() == exact.keys()
    whole = together(theirs).norm()
    assert (together(ours) - together(theirs)).norm() <= 1e-6 * whole
    for name, gradient in exact.items():
        # Keys' biases have no influence at all: their gradient is the rounding error of zero.
        assert float((ours[name] - gradient).norm()) <= 1e-6 * max(float(gradient.norm()), 1e-2 * whole), name


def gradients(backbone, states, outward):
    """Those of every parameter that has one, in fp64."""
    backbone.zero_grad()
    (states * outward).sum().backward()
    return {name: p.grad.double() for name, p in backbone.named_parameters() if p.grad is not None}


def together(gradients):
    return torch.cat([gradient.flatten() for gradient in gradients.values()])


def test_gradients_are_finite_in_16_bits(backbone, tokens):
    """Also of the rows that are computed beside the tokens, where biases are zero as in a new model."""
    with torch.no_grad():
        for name, parameter in backbone.half().named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    batch = packed(tokens, [0, 3])
    assert -batch.n_tokens % 8  # there are such rows
    states = hidden_states(backbone, batch)
    assert len(states) == batch.n_tokens
    states.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in backbone.parameters() if p.grad is not None)


@torch.no_grad()
def test_the_way_of_a_gpu_gives_the_same_states(backbone, tokens, monkeypatch):
    """Scores padded, by torch's fused attention; the mask is made once and used by every layer."""
    rows = [3, 0, 5, 1, 4, 2]
    expected = hidden_states(backbone, packed(tokens, rows))
    monkeypatch.setattr("teleclass.model.packed.Attention", partial(Attention, padded=True))
    torch.testing.assert_close(hidden_states(backbone, packed(tokens, rows)), expected, rtol=2e-5, atol=2e-5)


@torch.no_grad()
def test_a_text_has_the_same_states_whatever_stands_beside_it(backbone, tokens):
    together = hidden_states(backbone, packed(tokens, [0, 1, 2, 3, 4, 5])).split(LENGTHS)
    for row, states in enumerate(together):
        torch.testing.assert_close(hidden_states(backbone, packed(tokens, [row])), states, rtol=2e-5, atol=2e-5)


@torch.no_grad()
def test_dropout_is_wherever_the_model_has_it(backbone, tokens):
    """After the embeddings, on attention probabilities, after both dense layers: each alone is seen in training."""
    batch = packed(tokens, [1, 3])
    exact = hidden_states(backbone, batch)
    places = [module for module in backbone.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(places) == 1 + 3 * SHAPE["num_hidden_layers"]
    for place in places:
        for other in places:
            other.p = 0.5 if other is place else 0.0
        assert (hidden_states(backbone.train(), batch) - exact).abs().max() > 1e-3
        torch.testing.assert_close(hidden_states(backbone.eval(), batch), exact, rtol=0, atol=0)


@torch.no_grad()
def test_the_mean_is_over_each_texts_own_tokens_in_fp32(tokens):
    batch = packed(tokens, [4, 0, 5])
    states = torch.randn(batch.n_tokens, 6, dtype=torch.float64)
    expected = torch.stack([part.mean(dim=0) for part in states.split([2, 150, 7])])
    means = mean_of_tokens(states.bfloat16(), batch)
    assert means.dtype is torch.float32
    torch.testing.assert_close(mean_of_tokens(states.float(), batch), expected.float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(means, expected.float(), rtol=0, atol=0.01)


@torch.no_grad()
def test_sixteen_bit_linear_layers_are_near_fp32_nearer_than_sixteen_bits_throughout(backbone, tokens):
    batch = packed(tokens, np.arange(len(LENGTHS)))
    exact = mean_of_tokens(hidden_states(backbone, batch), batch)
    narrow_linear_layers(backbone, torch.bfloat16)
    assert {p.dtype for n, p in backbone.named_parameters() if "LayerNorm" in n} == {torch.float32}
    states = hidden_states(backbone, batch)
    assert states.dtype is torch.float32
    mixed = 1 - torch.cosine_similarity(mean_of_tokens(states, batch), exact).min()
    throughout = 1 - torch.cosine_similarity(
        mean_of_tokens(hidden_states(backbone.bfloat16(), batch), batch), exact
    ).min()  # fmt: skip
    assert 1e-9 < mixed < throughout < 1e-2


def test_what_is_not_known_here_is_left_to_the_model():
    assert all(is_packable(config) for config in CONFIGS.values())
    assert not is_packable(BertConfig(is_decoder=True))
    assert not is_packable(DistilBertConfig())
