"""BERT and MPNet on packed texts: no padding anywhere, the weights those of the transformers model itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from teleclass.model.attention import Attention, spread
from teleclass.model.batching import PackedTokens
from teleclass.model.dropout import Draws, add_dropped, dropout
from teleclass.model.tiles import filled_up, linear, linear_gelu

PACKABLE = ("bert", "roberta", "xlm-roberta", "mpnet")
"""Kinds of model, by ``model_type``, whose layers are known here; others are computed with padding."""


def is_packable(config: Any) -> bool:
    """Whether :func:`hidden_states` can stand in for a model's own forward pass.

    Decoders, cross attention and relative position schemes other than MPNet's are left to the model itself.
    """
    return (
        config.model_type in PACKABLE
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "add_cross_attention", False)
        and getattr(config, "position_embedding_type", "absolute") in (None, "absolute")
    )


def hidden_states(backbone: Any, batch: PackedTokens) -> torch.Tensor:
    """The last hidden states of a packed batch, shape (T, H).

    Equal to ``backbone(input_ids, attention_mask).last_hidden_state`` on tokens that are not padding. Linear layers
    compute in the format of their weights; the residual stream keeps the format of the layer norms, so that a model
    whose linear layers alone are in 16 bits adds up in fp32.
    """
    config = backbone.config
    is_mpnet = config.model_type == "mpnet"
    draws = Draws() if backbone.training else None
    states = _embeddings(backbone.embeddings, batch, config, draws)
    bias = None
    if is_mpnet:  # the same in every layer
        longest = torch.empty(1, filled_up(max(batch.lengths)), 0, device=states.device)
        bias = backbone.encoder.compute_position_bias(longest)[0]
    attend = Attention(batch, config.num_attention_heads, bias)
    if not attend.is_padded:
        # Rows of zeros would have no variance: in fp16 the layer norms' gradients were not finite.
        states = torch.cat([states, states[:1].expand(_rows_beside(batch.n_tokens), -1)])
    for layer in backbone.encoder.layer:
        if is_mpnet:
            own, norm, rate = layer.attention.attn, layer.attention.LayerNorm, layer.attention.dropout.p
            projections, into_stream = (own.q, own.k, own.v), own.o
        else:
            own, norm, rate = layer.attention.self, layer.attention.output.LayerNorm, layer.attention.output.dropout.p
            projections = (own.query, own.key, own.value)
            into_stream = layer.attention.output.dense
        mixed = attend(_apply(projections, states), own.dropout.p, draws)
        states = norm(add_dropped(_apply([into_stream], mixed), rate, draws, states))
        wide = _apply([layer.output.dense], _widened(layer.intermediate, states, config.hidden_act == "gelu"))
        states = layer.output.LayerNorm(add_dropped(wide, layer.output.dropout.p, draws, states))
    return states[: batch.n_tokens]


def _rows_beside(n_tokens: int) -> int:
    """Rows that a CPU computes beside those of the tokens, so that their number, of which there are few, comes again.

    Every new number has oneDNN compile products anew: for a layer of MiniLM 28 ms, where computing takes 14 (Xeon with
    AMX, 1,800 tokens, forward and backward pass). At most one row in 12 is so, and 127 rows.
    """
    step = max(8, min(128, 1 << (n_tokens // 24).bit_length()))
    return -n_tokens % step


def _apply(layers: Sequence[nn.Linear], states: torch.Tensor) -> torch.Tensor:
    """The results of linear layers beside each other, in the format of their weights: of several by one product."""
    first, *others = layers
    weight: torch.Tensor = first.weight
    bias: torch.Tensor | None = first.bias
    if others:
        weight = torch.cat(tuple(layer.weight for layer in layers))
        bias = None if bias is None else torch.cat(tuple(layer.bias for layer in layers))
    return linear(states.to(weight.dtype), weight, bias)


def _widened(intermediate: Any, states: torch.Tensor, is_gelu: bool) -> torch.Tensor:
    """The activations between a layer's two products, (T, H) to (T, 4 H)."""
    dense = intermediate.dense
    if is_gelu:
        return linear_gelu(states.to(dense.weight.dtype), dense.weight, dense.bias)
    return intermediate.intermediate_act_fn(_apply([dense], states))


def mean_of_tokens(states: torch.Tensor, batch: PackedTokens) -> torch.Tensor:
    """Mean of each text's hidden states, (T, H) to (n, H), added up in fp32."""
    states = states.float()
    if states.device.type == "cpu":
        sums = states.new_zeros(len(batch), states.shape[1]).index_add(0, batch.documents, states)
    else:  # index_add adds in no fixed order on a GPU
        sums = spread(states, batch).view(len(batch), -1, states.shape[1]).sum(dim=1)
    lengths = torch.tensor(batch.lengths, dtype=torch.float32).to(states.device, non_blocking=True)
    return sums / lengths[:, None]


def narrow_linear_layers(backbone: nn.Module, dtype: torch.dtype) -> None:
    """Keep the weights of linear layers in 16 bits, and all else as it is.

    With layer norms and the residual stream in 16 bits too, 1 − cosine against fp32 reaches .98e-4 on written reviews
    (MiniLM, bf16).
    """
    for module in backbone.modules():
        if isinstance(module, nn.Linear):
            module.to(dtype)


def _embeddings(embeddings: Any, batch: PackedTokens, config: Any, draws: Draws | None) -> torch.Tensor:
    positions = batch.positions
    if config.model_type != "bert":  # RoBERTa and its kin count from behind the padding token's number
        positions = positions + embeddings.padding_idx + 1
    states = embeddings.word_embeddings(batch.ids)
    if hasattr(embeddings, "token_type_embeddings"):
        states = states + embeddings.token_type_embeddings.weight[0]
    states = embeddings.LayerNorm(states + embeddings.position_embeddings(positions))
    return dropout(states, embeddings.dropout.p, draws)
