"""The sentence encoder: texts to vectors of length one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from teleclass.model.batching import token_batches, tokenize


class SentenceEncoder:
    """A sentence-transformers model on one device.

    Parameters
    ----------
    folder : the model's folder, see :func:`teleclass.model.sources.find_model`.
    device : ``cpu`` or ``cuda:N``.
    dtype : a torch dtype name; weights and arithmetic, the result is float32.
    max_tokens : texts are cut here; 0 takes the model's own limit.
    """

    def __init__(self, folder: Path, device: str, dtype: str = "float32", max_tokens: int = 0):
        import torch
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(
            str(folder), device=device, local_files_only=True, model_kwargs={"dtype": getattr(torch, dtype)}
        ).eval()
        self.device = torch.device(device)
        limit = int(self.model.max_seq_length or 512)
        self.max_tokens = min(max_tokens, limit) if max_tokens else limit

    @property
    def dimension(self) -> int:
        return int(self.model.get_embedding_dimension() or 0)

    def encode(self, texts: Sequence[str], tokens_per_batch: int) -> np.ndarray:
        """Embed texts in batches of like length, shape (texts, D), float32, rows of length one."""
        import torch

        tokens = tokenize(self.model.tokenizer, texts, self.max_tokens)
        out = np.empty((len(texts), self.dimension), dtype=np.float32)
        for rows in token_batches(tokens.lengths, tokens_per_batch):
            batch = self.model.tokenizer.pad(
                {"input_ids": [tokens[row].tolist() for row in rows]}, return_tensors="pt"
            ).to(self.device)
            with torch.inference_mode():
                vectors = self.model(dict(batch))["sentence_embedding"].float()
                out[rows] = torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()
        return out
