"""A trained classifier on one device: texts to logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from teleclass.errors import ModelError
from teleclass.model.batching import TokenizedTexts, tokenize
from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.inference import forward_batches
from teleclass.model.packed import narrow_linear_layers
from teleclass.model.weights import not_finite
from teleclass.runtime.devices import inference_dtype


class Scorer:
    """A classifier with its tokenizer, in the format that the device is fast at.

    Parameters
    ----------
    folder : written by the train phase.
    device : ``cpu`` or ``cuda:N``.
    max_tokens : texts are cut here.
    tokens_per_batch : padded tokens computed at once; 0 chooses by the kind of device.

    Raises
    ------
    ModelError : a file is missing or broken, or weights are missing in it.
    """

    def __init__(self, folder: Path, device: str, max_tokens: int, tokens_per_batch: int = 0):
        from transformers import AutoTokenizer

        self.device, self.dtype = device, inference_dtype(device)
        self.max_tokens, self.tokens_per_batch = max_tokens, tokens_per_batch
        try:
            loaded: Any = LabelMatchingClassifier.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # transformers, safetensors and tokenizers raise unrelated types
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"the trained model in {folder} cannot be read ({reason}); train it again") from None
        self.classifier: Any = loaded[0]
        if missing := sorted(loaded[1]["missing_keys"]):  # transformers would leave them random
            raise ModelError(f"the trained model in {folder} lacks weights, the first is {missing[0]}; train it again")
        if broken := not_finite(self.classifier.named_parameters()):
            raise ModelError(
                f"the trained model in {folder} has weights that are not finite, the first is {broken}; train it again"
            )
        if self.classifier.is_packable and self.dtype != torch.float32:
            narrow_linear_layers(self.classifier.backbone, self.dtype)
        self.classifier.to(torch.device(device)).eval()
        with torch.inference_mode():
            self._class_matrix = self.classifier.class_matrix()

    @property
    def n_classes(self) -> int:
        return int(self.classifier.config.n_classes)

    def tokenize(self, texts: Sequence[str]) -> TokenizedTexts:
        """Token ids, cut at the limit."""
        return tokenize(self.tokenizer, texts, self.max_tokens)

    def score_tokens(self, tokens: TokenizedTexts) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield ``(rows, logits (rows, C))``, batch by batch."""
        return forward_batches(
            lambda batch: self.classifier.logits(self.classifier.document_features(batch), self._class_matrix),
            tokens,
            np.arange(len(tokens)),
            device=self.device,
            dtype=self.dtype,
            pad_id=None if self.classifier.is_packable else self.tokenizer.pad_token_id,
            tokens_per_batch=self.tokens_per_batch,
        )

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Logits, shape (texts, C)."""
        out = np.empty((len(texts), self.n_classes), dtype=np.float32)
        for rows, logits in self.score_tokens(self.tokenize(texts)):
            out[rows] = logits
        return out
