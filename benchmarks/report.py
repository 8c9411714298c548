"""evaluate and its report on many documents: ``python -m benchmarks.report DATA_DIR --documents 50000``.

The folder's taxonomy and texts are taken over and over; predictions are drawn, three in ten wrong and one in ten too
short, with scores drawn too. Prints seconds and bytes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.speed_data import default_folder
from teleclass.data.dataset import Dataset, read_dataset
from teleclass.data.gold import gold_file
from teleclass.data.texts import Texts
from teleclass.phases import evaluate
from teleclass.report.card import CardOptions
from teleclass.runtime.artifacts import Artifacts, Marker
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.learning_curve import COLUMNS
from teleclass.runtime.tracking import Tracker, TrackingConfig
from teleclass.runtime.workplace import Workplace


@dataclass(frozen=True)
class Measured:
    """Seconds of CPU and wall time of the whole phase, and bytes of the page."""

    documents: int
    classes: int
    cpu_seconds: float
    wall_seconds: float
    page_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.documents:,} documents, {self.classes:,} classes: evaluate with its report in "
            f"{self.cpu_seconds:.1f} s CPU, {self.wall_seconds:.1f} s wall; report.html {self.page_bytes:,} bytes"
        )


def measure(folder: Path, n_documents: int) -> Measured:
    """Evaluate so many drawn predictions."""
    with tempfile.TemporaryDirectory() as scratch:
        data, artifacts = _inputs(read_dataset(folder), Path(scratch), n_documents)
        work = Workplace(artifacts, Ranks(), Tracker(TrackingConfig(enabled=False)), seed=0)
        cpu, wall = time.process_time(), time.perf_counter()
        evaluate.run(work, data, CardOptions("bundled", "bundled", 0.5, 128, 1, 0))
        return Measured(
            n_documents,
            data.taxonomy.n_classes,
            time.process_time() - cpu,
            time.perf_counter() - wall,
            artifacts.path("report").stat().st_size,
        )


def _inputs(real: Dataset, scratch: Path, n_documents: int) -> tuple[Dataset, Artifacts]:
    """What the phases before evaluate would have left, and gold."""
    taxonomy, texts = real.taxonomy, real.corpus.texts
    random = np.random.default_rng(0)
    ids = [str(number) for number in range(n_documents)]
    rows = [number % len(texts) for number in range(n_documents)]
    corpus = replace(real.corpus, ids=Texts.of(ids + ids), texts=texts[np.array(rows * 2)], n_train=n_documents)
    data = replace(real, folder=scratch / "data", corpus=corpus)

    paths = taxonomy.paths()
    gold = [paths[number] for number in random.integers(0, len(paths), n_documents)]
    kinds = random.random(n_documents)
    others = random.integers(0, len(paths), n_documents)
    filed = [
        paths[other] if kind < 0.3 else path[: max(1, len(path) - 1)] if kind < 0.4 else path
        for path, kind, other in zip(gold, kinds, others, strict=True)
    ]
    closed = [sorted(taxonomy.close(path)) for path in filed]

    def numbers(nodes: Sequence[int]) -> list[int]:
        return [taxonomy.ids[node] for node in nodes]

    file = gold_file(data.folder, data.layout, "test")
    file.parent.mkdir(parents=True)
    right = (",".join(map(str, numbers(sorted(taxonomy.close(path))))) for path in gold)
    file.write_text("".join(f"{number}\t{labels}\n" for number, labels in zip(ids, right, strict=True)), "utf-8")

    artifacts = Artifacts(scratch / "outputs")
    (artifacts.folder / "intermediate").mkdir(parents=True)
    predictions = {
        "document": ids,
        "classes": [numbers(nodes) for nodes in closed],
        "scores": [random.random(len(nodes)).tolist() for nodes in closed],
        "margin": random.random(n_documents),
        "label_model_path": [numbers(path) for path in filed],
        "classifier_path": [numbers(path) for path in gold],
    }
    pd.DataFrame(predictions).to_parquet(artifacts.path("predictions"))
    np.save(artifacts.path("class_scores"), random.random((n_documents, taxonomy.n_classes), dtype=np.float32))
    labels = {
        "document": np.repeat(ids, [len(nodes) for nodes in closed]),
        "class_position": np.concatenate(closed),
    }
    pd.DataFrame(labels).to_parquet(artifacts.path("pseudo_labels"))
    pd.DataFrame({"path": [numbers(path) for path in paths]}).to_parquet(artifacts.path("augmented"))
    nothing: dict[str, list] = {"document": [], "candidates": [], "core_classes": []}
    pd.DataFrame(nothing).to_parquet(artifacts.path("annotations"))
    steps = np.arange(10, 3 * n_documents // 16 + 20, 10)
    curve = {"step": steps} | {name: random.random(len(steps)) for name in COLUMNS}
    pd.DataFrame(curve).to_csv(artifacts.path("learning_curve"), index=False)
    for name in evaluate.BEFORE:
        artifacts.complete(name, Marker("", 1.0, notes=["drawn"]), ())
    return data, artifacts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("data_dir", type=Path, nargs="?", default=default_folder())
    parser.add_argument("--documents", type=int, default=50_000)
    options = parser.parse_args(arguments)
    print(measure(options.data_dir, options.documents))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
