"""Memory of the experiment by phase, for corpora of any size: ``python -m benchmarks.memory --documents 20000 100000``.

The corpus is made of the embedded sample's words, in documents of 100 to 130 of them. The encoder and the classifier
are a random BERT of width 32; the label phase is given stand-in vectors of 384 dimensions drawn around the classes, so
that it has something to find. For each size the experiment runs in a process of its own, all phases one after the
other as it always does, and its private memory (RssAnon: without pages of files) is sampled every 20 ms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.label import artificial_taxonomy, class_vectors_of, text_vectors, write_documents
from teleclass.data.corpus import read_documents
from teleclass.data.layout import COURSE
from teleclass.data.taxonomy import Taxonomy

SAMPLE = Path(__file__).parent.parent / "teleclass" / "data" / "sample"
TEST_SHARE = 0.5
TOKENS = 32_768
"""Tokens a batch: so small a model computes slower in small batches."""
DIMENSIONS = 384


def make_folder(folder: Path, n_documents: int, n_classes: int, with_gold: bool = True) -> Path:
    """A data folder in the course layout with so many documents, half of them test documents, and gold."""
    random = np.random.default_rng(0)
    _, texts = read_documents(SAMPLE / COURSE.train_corpus)
    words = np.array([word for text in texts for word in text.split()], dtype=object)
    taxonomy = artificial_taxonomy(n_classes)
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True, exist_ok=True)
    (folder / COURSE.classes).write_text(
        "".join(f"{node}\t{words[node * 7]}_{node}\n" for node in range(n_classes)), "utf-8"
    )
    (folder / COURSE.hierarchy).write_text("".join(f"{one}\t{other}\n" for one, other in taxonomy.graph.edges), "utf-8")
    n_test = round(TEST_SHARE * n_documents)
    paths = [",".join(map(str, path)) for path in taxonomy.paths()]
    for file, gold, n_rows in (
        (COURSE.train_corpus, "train/train_labels.txt", n_documents - n_test),
        (COURSE.test_corpus, "test/test_labels.txt", n_test),
    ):
        with (folder / file).open("w", encoding="utf-8") as documents, (folder / gold).open("w") as labels:
            for start in range(0, n_rows, 4096):
                lengths = random.integers(100, 131, min(4096, n_rows - start))
                drawn = words[random.integers(0, len(words), lengths.sum())]
                ends = np.cumsum(lengths)
                for row, (end, length) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True), start):
                    documents.write(f"{row}\t{' '.join(drawn[end - length : end])}\n")
                    labels.write(f"{row}\t{paths[row % len(paths)]}\n" if with_gold else "")
        if not with_gold:
            (folder / gold).unlink()
    return folder


def make_model(folder: Path) -> Path:
    """A random BERT of two layers and width 32, over the words of the sample, as a sentence-transformers model."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    _, texts = read_documents(SAMPLE / COURSE.train_corpus)
    words = sorted({word for text in texts for word in text.lower().split()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: number for number, token in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=256,
    )  # fmt: skip
    bert = BertModel(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=256,
        )
    )  # fmt: skip
    plain = folder / "plain"
    bert.save_pretrained(plain)
    fast.save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=256)
    SentenceTransformer(modules=[transformer, Pooling(32, "mean")], device="cpu").save(str(folder / "model"))
    return folder / "model"


def measure(data_dir: Path, model: Path, output: Path, with_encoder: bool = True) -> dict[str, Any]:
    """Run the experiment in this process; seconds and memory by phase, in MB.

    ``private`` is the peak of RssAnon, ``resident`` of the whole resident set, mapped files too; ``start`` are those
    of reading and checking the data.
    """
    from teleclass.config import make_config
    from teleclass.data.dataset import Dataset
    from teleclass.execution import read_and_check, run_phases
    from teleclass.pipeline import PHASES
    from teleclass.runtime.artifacts import Artifacts
    from teleclass.runtime.console import set_up_console
    from teleclass.runtime.devices import set_up_torch
    from teleclass.runtime.distributed import Ranks
    from teleclass.runtime.memory import reset_rss_peak
    from teleclass.runtime.tracking import Tracker
    from teleclass.runtime.workplace import Workplace

    set_up_console()
    set_up_torch()
    config = make_config(
        data_dir=str(data_dir), output_dir=str(output), tracking={"enabled": False},
        encoder={"model": str(model), "devices": "cpu", "tokens_per_batch": TOKENS},
        training={"model": str(model), "max_steps": 50}, prediction={"tokens_per_batch": TOKENS},
    )  # fmt: skip
    found: dict[str, Any] = {}

    def measured(name: str, run: Any) -> Any:
        def wrapped(work: Workplace, data: Dataset, *arguments: Any) -> Any:
            reset_rss_peak()
            started = time.perf_counter()
            with sampled_memory() as peak:
                metrics = run(work, data, *arguments) if name != "encode" or with_encoder else {}
            found[name] = {
                "private_mb": peak[0], "resident_mb": _status_mb("VmHWM"), "seconds": time.perf_counter() - started,
                "worker_resident_mb": work.worker_peak.rss_mb,
            }  # fmt: skip
            if name == "encode":
                _stand_in(work.artifacts, data.taxonomy, len(data.corpus))
            return metrics

        return wrapped

    phases = tuple(replace(phase, run=measured(phase.name, phase.run)) for phase in PHASES)
    work = Workplace(Artifacts(output), Ranks(), Tracker(config.tracking), config.seed)
    before, started = _status_mb("RssAnon"), time.perf_counter()
    with sampled_memory() as peak:
        data = read_and_check(phases, config, work.ranks)
    found["start"] = {
        "private_mb": peak[0], "resident_mb": _status_mb("VmHWM"), "seconds": time.perf_counter() - started,
        "before_mb": before, "after_mb": _status_mb("RssAnon"),
    }  # fmt: skip
    run_phases(phases, config, data, work)
    return {"documents": len(data.corpus), "classes": data.taxonomy.n_classes, "phases": found}


def _stand_in(artifacts: Any, taxonomy: Taxonomy, n_documents: int) -> None:
    """Vectors drawn around the classes, in place of what the encoder wrote."""
    generator = np.random.default_rng(0)
    vectors = class_vectors_of(taxonomy, DIMENSIONS, generator)
    ends = np.array(sorted(taxonomy.leaves))
    with artifacts.writing("document_embeddings") as partial:
        write_documents(partial, n_documents, vectors, ends, generator)
    with artifacts.writing("class_embeddings") as partial, partial.open("wb") as stream:
        np.save(stream, text_vectors(vectors, generator))


@contextmanager
def sampled_memory() -> Iterator[list[float]]:
    """Peak of this process's private memory, in MB, in a list of one."""
    peak, stop = [_status_mb("RssAnon")], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], _status_mb("RssAnon"))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        peak[0] = max(peak[0], _status_mb("RssAnon"))


def _status_mb(name: str) -> float:
    with open("/proc/self/status") as stream:
        line = next(line for line in stream if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def table(results: list[dict[str, Any]]) -> str:
    """A line a phase: private memory and seconds of each size, and bytes a document between the first and the last."""
    first, last = results[0], results[-1]
    head = ["phase", *(f"private MB at {one['documents']:,}" for one in results),
            *(f"s at {one['documents']:,}" for one in results), "bytes a document"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in first["phases"]:
        memory = [one["phases"][name]["private_mb"] for one in results]
        seconds = [one["phases"][name]["seconds"] for one in results]
        more = last["documents"] - first["documents"]
        slope = f"{(memory[-1] - memory[0]) * 2**20 / more:,.0f}" if more else ""
        cells = [name, *(f"{value:,.0f}" for value in memory), *(f"{value:,.1f}" for value in seconds), slope]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--classes", type=int, default=531, help="of an artificial taxonomy")
    parser.add_argument("--scratch", type=Path, help="folder for the corpora and outputs; 10 GB for a million")
    parser.add_argument("--no_encoder", action="store_true", help="leave the encode phase out")
    parser.add_argument("--one", type=Path, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        data_dir, model, output = options.one
        print(json.dumps(measure(data_dir, model, output, with_encoder=not options.no_encoder)))
        return
    results = []
    for n_documents in options.documents:
        with tempfile.TemporaryDirectory(dir=options.scratch) as name:
            folder = Path(name)
            data, model = make_folder(folder / "data", n_documents, options.classes), make_model(folder)
            command = [sys.executable, "-m", "benchmarks.memory", "--one", str(data), str(model), str(folder / "out")]
            command += ["--no_encoder"] if options.no_encoder else []
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(results[-1]), file=sys.stderr)
    print(table(results))


if __name__ == "__main__":
    main()
