"""The sentence encoder: texts to vectors of length one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from teleclass.model.batching import PackedTokens, PaddedTokens, TokenBatch, TokenizedTexts, tokenize
from teleclass.model.inference import forward_batches
from teleclass.model.packed import hidden_states, is_packable, mean_of_tokens, narrow_linear_layers


class SentenceEncoder:
    """A sentence-transformers model on one device.

    Models of the kinds in :data:`teleclass.model.packed.PACKABLE` that take the mean over tokens are computed without
    padding; all others by sentence-transformers' own modules, padded.

    Parameters
    ----------
    folder : the model's folder, see :func:`teleclass.model.sources.find_model`.
    device : ``cpu`` or ``cuda:N``.
    dtype : a torch dtype name, of the weights and the arithmetic; the result is float32. On a CPU the layer norms of
        packed models stay in fp32, which costs nothing there.
    max_tokens : texts are cut here; 0 takes the model's own limit.
    """

    def __init__(self, folder: Path, device: str, dtype: str = "float32", max_tokens: int = 0):
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(
            str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32}
        ).eval()
        self.device = torch.device(device)
        self.is_packed = _is_packable(self.model)
        narrow = getattr(torch, dtype)
        transformer: Any = self.model[0]
        if self.is_packed and self.device.type == "cpu":
            narrow_linear_layers(transformer.model, narrow)
        else:
            transformer.to(narrow)
        self.model.to(self.device)
        limit = int(self.model.max_seq_length or 512)
        self.max_tokens = min(max_tokens, limit) if max_tokens else limit

    @property
    def dimension(self) -> int:
        return int(self.model.get_embedding_dimension() or 0)

    def tokenize(self, texts: Sequence[str]) -> TokenizedTexts:
        """Token ids, cut at the encoder's limit."""
        return tokenize(self.model.tokenizer, texts, self.max_tokens)

    def encode(self, texts: Sequence[str], tokens_per_batch: int = 0) -> np.ndarray:
        """Embed texts in batches of like length, shape (texts, D), float32, rows of length one."""
        out = np.empty((len(texts), self.dimension), dtype=np.float32)
        for rows, vectors in self.encode_tokens(self.tokenize(texts), tokens_per_batch):
            out[rows] = vectors
        return out

    def encode_tokens(
        self, tokens: TokenizedTexts, tokens_per_batch: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield ``(rows, vectors)``, batch by batch; on a GPU a batch is handed over while the next one computes."""
        embed: Callable[[Any], torch.Tensor] = self._packed if self.is_packed else self._padded
        return forward_batches(
            embed,
            tokens,
            np.arange(len(tokens)),
            device=str(self.device),
            dtype=torch.float32,  # the weights have the format already
            pad_id=None if self.is_packed else self.model.tokenizer.pad_token_id,
            tokens_per_batch=tokens_per_batch,
        )

    def _packed(self, batch: PackedTokens) -> torch.Tensor:
        features = {"sentence_embedding": mean_of_tokens(hidden_states(self.model[0].model, batch), batch)}
        for module in list(self.model)[2:]:
            features = module(features)
        return functional.normalize(features["sentence_embedding"].float(), dim=1)

    def _padded(self, batch: TokenBatch) -> torch.Tensor:
        assert isinstance(batch, PaddedTokens)
        features = self.model({"input_ids": batch.ids, "attention_mask": batch.mask})
        return functional.normalize(features["sentence_embedding"].float(), dim=1)


def _is_packable(model: Any) -> bool:
    """Whether a model is a packable transformer and the mean over its tokens, and then whatever takes that mean."""
    if len(model) < 2 or type(model[0]).__name__ != "Transformer" or type(model[1]).__name__ != "Pooling":
        return False
    pooling = model[1].get_config_dict()
    modes = pooling.get("pooling_mode")
    return modes in ("mean", ["mean"], ("mean",)) and is_packable(model[0].model.config)
