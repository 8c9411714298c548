"""What labelling costs: documents drawn around a taxonomy's paths, labelled by one thread from a memory-mapped file."""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from teleclass.data.layout import find_layout
from teleclass.data.taxonomy import Taxonomy, read_taxonomy

CLOSENESS, TEXT_NOISE = 0.35, 1.0
"""Length of a document's class vector beside its noise of length 1, and of the noise in a class text beside its class
vector: margins between paths are then nearly as on written product reviews."""


def artificial_taxonomy(n_classes: int) -> Taxonomy:
    """Three levels, about nine children an inner class, as in the 531-class product taxonomy; every class on a path."""
    n_roots = max(2, round(n_classes / 90))
    n_middle = max(n_roots, round(n_classes / 9))
    edges = [(node % n_roots, node) for node in range(n_roots, n_roots + n_middle)]
    first_leaf = n_roots + n_middle
    edges += [(n_roots + (node - first_leaf) % n_middle, node) for node in range(first_leaf, n_classes)]
    return Taxonomy(range(n_classes), [f"class {node}" for node in range(n_classes)], edges)


def class_vectors_of(taxonomy: Taxonomy, n_dimensions: int, generator: np.random.Generator) -> np.ndarray:
    """Unit vectors (C, D), each class half its first parent's vector and half its own direction."""
    vectors = generator.standard_normal((taxonomy.n_classes, n_dimensions)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for node in np.argsort(taxonomy.levels, kind="stable").tolist():
        if parents := taxonomy.parents(node):
            vectors[node] += vectors[parents[0]]
            vectors[node] /= np.linalg.norm(vectors[node])
    return vectors


def text_vectors(class_vectors: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Unit vectors (C, D) of class texts: the class vectors, and what a text says beside them."""
    noise = generator.standard_normal(class_vectors.shape, dtype=np.float32) / np.sqrt(class_vectors.shape[1])
    texts = class_vectors + TEXT_NOISE * noise
    return texts / np.linalg.norm(texts, axis=1, keepdims=True)


def write_documents(
    file: Path, n_rows: int, class_vectors: np.ndarray, ends: np.ndarray, generator: np.random.Generator
) -> None:
    """Unit rows (N, D) around the class vectors of leaves whose frequencies fall off as 1 / √rank."""
    rows = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(n_rows, class_vectors.shape[1]))
    frequency = 1 / np.sqrt(np.arange(1, len(ends) + 1))
    for start in range(0, n_rows, 16_384):
        chosen = generator.choice(ends, size=min(16_384, n_rows - start), p=frequency / frequency.sum())
        noise = generator.standard_normal((len(chosen), class_vectors.shape[1]), dtype=np.float32)
        block = CLOSENESS * class_vectors[chosen] + noise / np.sqrt(class_vectors.shape[1])
        rows[start : start + len(chosen)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    rows.flush()


def prepare(
    rows: int, classes: int, seed: int = 0, dimensions: int = 384, data_dir: Path | None = None
) -> Callable[[], dict[str, float]]:
    """Draw documents and warm up; what comes back labels them all and tells what that took, as often as it is called.

    The taxonomy is that of ``data_dir``, or an artificial one of so many classes. As the label phase does it without a
    language model, on the threads that this process has: CPU and wall seconds of fitting, decoding and the entropy, and
    the peak of private memory above what there was before the first time, in MB. Memory is the resident set without
    pages of files (RssAnon), sampled every 25 ms: mapped embeddings do not count, all else does.
    """
    from teleclass.labelling.decoding import Decoder, DecodingConfig
    from teleclass.labelling.label_model import LabelModel
    from teleclass.labelling.paths import index_paths
    from teleclass.labelling.selection import LabellingConfig, fit_label_model
    from teleclass.labelling.trust import entropy
    from teleclass.phases.label import decode_labels
    from teleclass.runtime.memory import keep_freed_memory

    generator = np.random.default_rng(seed)
    taxonomy = read_taxonomy(data_dir, find_layout(data_dir)) if data_dir else artificial_taxonomy(classes)
    paths = index_paths(taxonomy)
    around = class_vectors_of(taxonomy, dimensions, generator)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npy"
        write_documents(file, rows, around, paths.ends, generator)
        embeddings = np.load(file, mmap_mode="r")  # stays mapped when the folder is gone
    keep_freed_memory()  # as the label phase does; what the documents took to be made is given back before
    vectors = text_vectors(around, generator)
    few = np.array(embeddings[:64])
    warm: LabelModel = fit_label_model(few, vectors, paths, LabellingConfig())[0]  # imports, and threads if any
    Decoder(taxonomy, paths, DecodingConfig()).decode(warm.posterior(few, paths))
    at_first = _rss_anon_mb()

    def label() -> dict[str, float]:
        seconds: dict[str, float] = {}
        with _private_memory(at_first) as memory:
            with _timed("fit", seconds):
                model, _ = fit_label_model(embeddings, vectors, paths, LabellingConfig())
            with _timed("decode", seconds):
                labels = decode_labels(taxonomy, embeddings, model, paths, DecodingConfig())
            with _timed("entropy", seconds):
                entropy(model, embeddings, paths)
        return {
            "rows": rows,
            "classes": taxonomy.n_classes,
            "paths": paths.n_paths,
            **seconds,
            "cpu_seconds": sum(value for name, value in seconds.items() if name.endswith("cpu_seconds")),
            "wall_seconds": sum(value for name, value in seconds.items() if name.endswith("wall_seconds")),
            "peak_mb": memory[0],
            "heads": len(model.heads),
            "labels_per_document": len(labels.sets.classes) / rows,
        }

    return label


@contextmanager
def _timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    seconds[f"{name}_cpu_seconds"] = time.process_time() - cpu
    seconds[f"{name}_wall_seconds"] = time.perf_counter() - wall


@contextmanager
def _private_memory(start: float) -> Iterator[list[float]]:
    """Peak of the private memory above ``start``, in MB, in a list of one."""
    peak, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.025):
            peak[0] = max(peak[0], _rss_anon_mb() - start)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _rss_anon_mb() -> float:
    with open("/proc/self/status") as stream:
        line = next(line for line in stream if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """One measurement, printed as JSON; in a process of its own, on one thread."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label", description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=531, help="of an artificial taxonomy")
    parser.add_argument("--data_dir", type=Path, help="a folder with the taxonomy to take instead")
    options = parser.parse_args()
    import torch  # before the limit: what is loaded later would have threads of its own

    torch.set_num_threads(1)
    with threadpool_limits(1):
        print(json.dumps(prepare(options.rows, options.classes, data_dir=options.data_dir)()))


if __name__ == "__main__":
    main()
