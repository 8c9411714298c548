"""The phases' device work on random models and token ids: packed batches, as in the encoder and the classifier."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.interleave import Measure, Work
from benchmarks.speed_data import lengths_like_reviews

WARM_UP_DOCUMENTS = 2048


@dataclass(frozen=True)
class PhaseSizes:
    """Documents of a phase, and the model that computes them."""

    documents: int
    longest: int
    layers: int
    width: int
    vocabulary: int
    n_classes: int
    device: str

    @property
    def is_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def tokens(self, number: int = 0) -> Any:
        """Random token ids, as many a document as reviews have; of fewer documents if ``number`` says so."""
        from teleclass.model.batching import TokenizedTexts

        lengths = lengths_like_reviews(min(number or self.documents, self.documents), self.longest)
        ids = np.random.default_rng(0).integers(5, self.vocabulary, size=lengths.sum(), dtype=np.int32)
        return TokenizedTexts(ids, np.concatenate([[0], np.cumsum(lengths)]))

    def config(self, kind: str) -> Any:
        """A configuration of the usual size: MPNet-base and BERT-base, or fewer and narrower layers."""
        from transformers import AutoConfig

        heads = max(1, self.width // 64)
        return AutoConfig.for_model(
            kind, vocab_size=self.vocabulary, hidden_size=self.width, num_hidden_layers=self.layers,
            num_attention_heads=heads, intermediate_size=4 * self.width,
        )  # fmt: skip

    def classifier(self) -> Any:
        import torch

        from teleclass.model.classifier import LabelMatchingClassifier, LabelMatchingConfig

        torch.manual_seed(0)
        backbone = self.config("bert").to_dict()
        return LabelMatchingClassifier(
            LabelMatchingConfig(backbone=backbone, n_classes=self.n_classes, class_dimension=self.width)
        )


class Clock:
    """Device seconds between two events on a GPU, and the peak of its memory; wall seconds on a CPU."""

    def __init__(self, device: str):
        import torch

        self.device = device
        self.cuda = torch.cuda if device.startswith("cuda") else None
        if self.cuda:
            self.cuda.synchronize(device)
            self.cuda.reset_peak_memory_stats(device)
            self._start, self._end = (self.cuda.Event(enable_timing=True) for _ in range(2))
            self._start.record()
        self._wall = time.perf_counter()

    def stop(self, documents: float, flops: float, **values: float) -> Work:
        """What was done since the start, ``flops`` of it."""
        peak = {}
        if self.cuda:
            self._end.record()
            self.cuda.synchronize(self.device)
            peak = {"peak_mb": self.cuda.max_memory_allocated(self.device) / 2**20}
        wall = time.perf_counter() - self._wall
        seconds = self._start.elapsed_time(self._end) / 1000 if self.cuda else wall
        if not self.cuda:
            from teleclass.runtime.memory import peak as process_peak

            peak = {"peak_mb": process_peak().rss_mb}
        rates = {"tflops": flops / seconds / 1e12}
        if documents:
            rates["documents_per_second"] = documents / seconds
        return Work(
            documents or 1, wall_seconds=wall, values={"device_seconds": seconds} | rates | peak | values
        )  # fmt: skip


def forward_flops(backbone: Any, lengths: np.ndarray) -> float:
    """2 × parameters without embeddings × tokens, and the attention's 4 × length² × width a layer."""
    parameters = sum(value.numel() for name, value in backbone.named_parameters() if not name.startswith("embeddings."))
    lengths = lengths.astype(np.float64)
    config = backbone.config
    attention = config.num_hidden_layers * 4 * float((lengths**2).sum()) * config.hidden_size
    return 2.0 * parameters * float(lengths.sum()) + attention


def matmul_rate(size: int, device: str) -> Measure:
    """16-bit products of square matrices: what a device reaches with nothing else to do."""
    import torch

    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    repeats = 50 if device.startswith("cuda") else 2

    def multiply(number: int) -> None:
        for _ in range(number):
            torch.matmul(left, right)

    multiply(repeats)

    def measure() -> Work:
        clock = Clock(device)
        multiply(repeats)
        return clock.stop(0, repeats * 2.0 * size**3)

    return measure


def encode(sizes: PhaseSizes) -> Measure:
    """The encoder's packed forward pass and mean over tokens, in bf16."""
    import torch
    from torch.nn import functional
    from transformers import AutoModel

    from teleclass.model.inference import forward_batches
    from teleclass.model.packed import hidden_states, mean_of_tokens

    torch.manual_seed(0)
    backbone = AutoModel.from_config(sizes.config("mpnet"), add_pooling_layer=False)
    backbone.eval().to(torch.bfloat16).to(sizes.device)

    def embed(batch: Any) -> torch.Tensor:
        return functional.normalize(mean_of_tokens(hidden_states(backbone, batch), batch), dim=1)

    def run(tokens: Any) -> np.ndarray:
        vectors = np.empty((len(tokens), sizes.width), dtype=np.float32)
        rows = np.arange(len(tokens))
        for chosen, values in forward_batches(embed, tokens, rows, device=sizes.device, dtype=torch.float32):
            vectors[chosen] = values
        return vectors

    run(sizes.tokens(WARM_UP_DOCUMENTS))
    tokens = sizes.tokens()

    def measure() -> Work:
        clock = Clock(sizes.device)
        vectors = run(tokens)
        work = clock.stop(len(tokens), forward_flops(backbone, tokens.lengths))
        _check_finite(vectors)
        return work

    return measure


def predict(sizes: PhaseSizes) -> Measure:
    """The classifier's scores as the predict phase computes them, in 16 bits."""
    import torch

    from teleclass.model.inference import forward_batches
    from teleclass.model.packed import narrow_linear_layers

    classifier = sizes.classifier()
    narrow_linear_layers(classifier.backbone, torch.bfloat16)
    classifier.to(torch.device(sizes.device)).eval()
    with torch.inference_mode():
        class_matrix = classifier.class_matrix()

    def score(batch: Any) -> torch.Tensor:
        return classifier.logits(classifier.document_features(batch), class_matrix)

    def run(tokens: Any) -> np.ndarray:
        logits = np.empty((len(tokens), sizes.n_classes), dtype=np.float32)
        rows = np.arange(len(tokens))
        for chosen, values in forward_batches(score, tokens, rows, device=sizes.device, dtype=torch.bfloat16):
            logits[chosen] = values
        return logits

    run(sizes.tokens(WARM_UP_DOCUMENTS))
    tokens = sizes.tokens()

    def measure() -> Work:
        clock = Clock(sizes.device)
        logits = run(tokens)
        head = 2.0 * len(tokens) * sizes.width * (sizes.width + sizes.n_classes)
        work = clock.stop(len(tokens), forward_flops(classifier.backbone, tokens.lengths) + head)
        _check_finite(logits)
        return work

    return measure


def _check_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise RuntimeError("some results are not finite")
