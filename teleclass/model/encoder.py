"""The sentence encoder: texts to vectors of length one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from teleclass.errors import ModelError
from teleclass.model.batching import PackedTokens, PaddedTokens, TokenBatch, TokenizedTexts, tokenize
from teleclass.model.inference import forward_batches
from teleclass.model.packed import hidden_states, is_packable, mean_of_tokens, narrow_linear_layers
from teleclass.model.weights import lacks_weights, needed


class SentenceEncoder:
    """A sentence-transformers model on one device.

    A model of the kinds in :data:`teleclass.model.packed.PACKABLE` that takes the mean over tokens is computed without
    padding, and where nothing but scaling follows, without sentence-transformers, whose import takes a second of CPU
    time. All other models are computed by sentence-transformers' own modules, padded.

    Parameters
    ----------
    folder : the model's folder, see :func:`teleclass.model.sources.find_model`.
    device : ``cpu`` or ``cuda:N``.
    dtype : a torch dtype name, of the weights and the arithmetic; the result is float32. On a CPU the layer norms of
        packed models stay in fp32, which costs nothing there.
    max_tokens : texts are cut here; 0 takes the model's own limit.

    Raises
    ------
    ModelError : the model needs sentence-transformers, and that is not installed.
    """

    def __init__(self, folder: Path, device: str, dtype: str = "float32", max_tokens: int = 0):
        self.device = torch.device(device)
        narrow = getattr(torch, dtype)
        kinds, self.is_packed = _kinds(folder), is_mean_of_tokens(folder)
        if self.is_packed and kinds[2:] in ([], ["Normalize"]):
            self._load_backbone(folder)
        else:
            self._load_modules(folder)
        if self.is_packed and self.device.type == "cpu":
            narrow_linear_layers(self.backbone, narrow)
        else:
            self.backbone.to(narrow)
        for module in (self.backbone, *self.tail):
            module.to(self.device)
        self.max_tokens = min(max_tokens, self.limit) if max_tokens else self.limit

    def _load_backbone(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        loaded: Any = AutoModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
        self.backbone: Any = loaded[0].eval()
        if missing := needed(loaded[1]["missing_keys"]):
            raise lacks_weights(folder, missing)
        self.tail: list[Any] = []
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self.dimension = int(self.backbone.config.hidden_size)
        self.limit = _token_limit(folder, self.tokenizer, self.backbone.config)

    def _load_modules(self, folder: Path) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise ModelError(
                f"the encoder in {folder} is more than BERT, RoBERTa or MPNet and the mean over its tokens; it needs "
                "sentence-transformers: pip install sentence-transformers"
            ) from None
        model: Any = SentenceTransformer(
            str(folder), device="cpu", local_files_only=True, trust_remote_code=False,
            model_kwargs={"dtype": torch.float32},
        ).eval()  # fmt: skip
        first, *others = list(model)
        self.backbone, self.tail = (first.model, others[1:]) if self.is_packed else (first, others)
        self.tokenizer = model.tokenizer
        self.dimension = int(model.get_embedding_dimension() or 0)
        self.limit = int(model.max_seq_length or 512)

    def tokenize(self, texts: Sequence[str]) -> TokenizedTexts:
        """Token ids, cut at the encoder's limit."""
        return tokenize(self.tokenizer, texts, self.max_tokens)

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
            pad_id=None if self.is_packed else self.tokenizer.pad_token_id,
            tokens_per_batch=tokens_per_batch,
        )

    def _packed(self, batch: PackedTokens) -> torch.Tensor:
        return self._finish({"sentence_embedding": mean_of_tokens(hidden_states(self.backbone, batch), batch)})

    def _padded(self, batch: TokenBatch) -> torch.Tensor:
        assert isinstance(batch, PaddedTokens)
        return self._finish(self.backbone({"input_ids": batch.ids, "attention_mask": batch.mask}))

    def _finish(self, features: dict[str, Any]) -> torch.Tensor:
        for module in self.tail:
            features = module(features)
        return functional.normalize(features["sentence_embedding"].float(), dim=1)


def is_mean_of_tokens(folder: Path) -> bool:
    """Whether a sentence-transformers model begins with a packable transformer and the mean over its tokens."""
    from transformers import AutoConfig

    if _kinds(folder)[:2] != ["Transformer", "Pooling"]:
        return False
    modules = _json(folder / "modules.json")
    if modules[0]["path"] or _json(folder / "sentence_bert_config.json").get("do_lower_case"):
        return False
    pooling = _json(folder / modules[1]["path"] / "config.json")
    switched_on = [name for name, value in pooling.items() if name.startswith("pooling_mode_") and value]
    if (pooling.get("pooling_mode") or switched_on) not in ("mean", ["mean"], ["pooling_mode_mean_tokens"]):
        return False
    return is_packable(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))


def _kinds(folder: Path) -> list[str]:
    """Class names of a sentence-transformers model's modules; empty for a plain transformer."""
    return [module["type"].rpartition(".")[2] for module in _json(folder / "modules.json") or []]


def _token_limit(folder: Path, tokenizer: Any, config: Any) -> int:
    """Tokens that a sentence-transformers model reads of a text: its own setting, else what its parts can take."""
    own = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    return int(own or min(tokenizer.model_max_length, config.max_position_embeddings))


def _json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}
