"""cuda: encoding, training and prediction of the whole data set's size on one GPU, in models with random weights.

Speed hangs on sizes alone, so no weights and no texts are needed: token ids are drawn, as many a document as reviews
have. Needs torch, transformers, sentence-transformers and numpy; training needs DeepSpeed too.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.cuda_training import train
from benchmarks.cuda_work import PhaseSizes, encode, matmul_rate, predict
from benchmarks.interleave import Figure, Measure, Method, Outcome, alone
from benchmarks.speed_table import Comparison, Row, Section

REFERENCE_BATCH = 16
"""Documents a GPU for which peak memory is told besides that of the batch that was trained with."""


@dataclass(frozen=True)
class Sizes:
    """Documents of each phase, and the models."""

    encoded: int = 49_145
    trained: int = 29_487
    epochs: int = 3
    predicted: int = 19_658
    n_classes: int = 531
    longest: int = 168
    matmul: int = 8192
    device: str = "cuda:0"
    layers: int = 12
    width: int = 768
    vocabulary: int = 30_522
    memory_steps: int = 20

    def phase(self, documents: int) -> PhaseSizes:
        return PhaseSizes(
            documents, self.longest, self.layers, self.width, self.vocabulary, self.n_classes, self.device
        )  # fmt: skip


MINIATURE = Sizes(
    encoded=12, trained=8, epochs=1, predicted=10, n_classes=7, longest=20, matmul=64, device="cpu", layers=2,
    width=32, vocabulary=100, memory_steps=1,
)  # fmt: skip

COLUMNS = {
    "device_seconds": "device s",
    "wall_seconds": "wall s",
    "documents_per_second": "documents/s",
    "tflops": "TFLOP/s",
    "share_of_rate": "% of matmul rate",
    "peak_mb": "peak MB",
    "skipped_steps": "skipped steps",
}
PHASES = ("matmul", "encode", "train", "predict")


def measure(sizes: Sizes = Sizes()) -> Section:
    """Every phase in a process of its own, so that none finds another's memory."""
    section = Section(
        "cuda",
        f"MPNet ({sizes.layers} layers, {sizes.width} wide) encodes {sizes.encoded:,} documents, a BERT of that size "
        f"trains on {sizes.trained:,} × {sizes.epochs} and scores {sizes.predicted:,} with {sizes.n_classes} classes",
    )
    if sizes.device.startswith("cuda") and not cuda_is_available():
        section.rows += [Row(name, note="not measured: no CUDA device") for name in PHASES]
        return section
    rate = _run(section, "matmul", partial(matmul_rate, sizes.matmul, sizes.device), 0.0)
    tflops = rate.rounds[0].values["tflops"] if rate.rounds else 0.0
    _run(section, "encode", partial(encode, sizes.phase(sizes.encoded)), tflops)
    trained = None
    if importlib.util.find_spec("deepspeed") is None:
        section.rows.append(Row("train", note="not measured: deepspeed is not installed"))
    else:
        trained = _run(section, "train", partial(train, sizes.phase(sizes.trained), sizes.epochs), tflops)
    _run(section, "predict", partial(predict, sizes.phase(sizes.predicted)), tflops)
    if trained is not None and trained.rounds:
        # The same run where the DeepSpeed file has that batch, else a few steps more for their peak memory alone.
        if trained.rounds[0].values["batch"] != REFERENCE_BATCH:
            brief = partial(train, sizes.phase(sizes.trained), 1, REFERENCE_BATCH, sizes.memory_steps)
            trained = _run(section, f"{REFERENCE_BATCH} a GPU, a few steps", brief, 0.0)
        peak = Figure.of([one.values["peak_mb"] for one in trained.rounds]) if trained.rounds else None
        section.comparisons.append(Comparison(f"peak MB of training, {REFERENCE_BATCH} documents a GPU", peak))
    section.remarks += [
        "TFLOP/s: 2 × parameters without embeddings × tokens + 4 × length² × width a layer, three times that in "
        "training, by device seconds between two CUDA events.",
        f"Rate: products of two {sizes.matmul} × {sizes.matmul} matrices in 16 bits on the same device.",
    ]
    return section


def cuda_is_available() -> bool:
    """Asked in another process: this one stays without a CUDA context and without torch."""
    outcome = alone(Method("is there a GPU", _ask))
    return bool(outcome.rounds and outcome.rounds[0].documents)


def _ask() -> Measure:
    import torch

    from benchmarks.interleave import Work

    return lambda: Work(float(torch.cuda.is_available()))


def _run(section: Section, name: str, prepare: Callable[[], Measure], rate: float) -> Outcome:
    outcome = alone(Method(name, prepare, cores=0))
    section.rounds[name] = outcome.rounds
    figures = {}
    if outcome.rounds:
        one = outcome.rounds[0]
        values = one.values | {"wall_seconds": one.wall_seconds}
        if rate and "tflops" in values:
            values["share_of_rate"] = 100 * values["tflops"] / rate
        figures = {title: Figure.of([values[key]]) for key, title in COLUMNS.items() if key in values}
    section.rows.append(Row(name, figures, outcome.failure, failed=bool(outcome.failure)))
    return outcome
