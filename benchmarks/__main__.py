"""Speed of teleclass beside what a user would take instead, in one command: ``python -m benchmarks``.

Every figure is a median over rounds, with the least and the greatest; ratios are told of the fastest turns too. Methods
take turns, so that what else the machine does falls on all of them. The exit status is 1 where a measurement failed; a
target that is missed is told in the table alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.speed_data import Documents, default_folder, read_documents
from benchmarks.speed_table import Row, Section, file_name, markdown, write_json

RESULTS = Path(__file__).parent / "results"


class Bench:
    """What was asked for, and each measurement with it; a measurement imports what it needs when it is its turn."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.is_miniature: bool = options.miniature
        self.rounds: int = options.rounds or (1 if options.miniature else 3)
        self.data_dir: Path = options.data_dir or default_folder()

    @cached_property
    def documents(self) -> Documents:
        return read_documents(self.data_dir)

    @cached_property
    def model(self) -> Path:
        from teleclass.model.sources import find_model

        return find_model(self.options.model)

    def encode(self) -> Section:
        from benchmarks import speed_encode as bench

        sizes = bench.MINIATURE if self.is_miniature else bench.Sizes()
        return bench.measure(self.documents, self.model, self.rounds, sizes)

    def train(self) -> Section:
        from benchmarks import speed_train as bench

        sizes = bench.MINIATURE if self.is_miniature else bench.Sizes()
        return bench.measure(self.documents, self.model, self.rounds, sizes)

    def ranks(self) -> Section:
        from benchmarks import speed_ranks as bench

        sizes = bench.MINIATURE if self.is_miniature else bench.Sizes()
        return bench.measure(self.documents, self.model, self.rounds, sizes)

    def label(self) -> Section:
        from benchmarks import speed_label as bench

        sizes = bench.MINIATURE if self.is_miniature else bench.SIZES
        return bench.measure([*sizes, bench.LONG] if self.options.long else sizes, self.rounds)

    def experiment(self) -> Section:
        from benchmarks import speed_experiment as bench

        models = ["--encoder.model", self.options.model, "--training.model", self.options.model]
        brief = ["--max_documents", "20", "--training.max_steps", "1"] if self.is_miniature else []
        return bench.measure(self.data_dir, [*models, *brief])

    def cuda(self) -> Section:
        from benchmarks import speed_cuda as bench

        return bench.measure(bench.MINIATURE if self.is_miniature else bench.Sizes())


MEASUREMENTS: dict[str, Callable[[Bench], Section]] = {
    name: getattr(Bench, name) for name in ("encode", "train", "ranks", "label", "experiment", "cuda")
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables, and write them where asked."""
    options = _options(arguments)
    bench = Bench(options)
    sections: list[Section] = []
    about: dict[str, Any] = {}
    for name in dict.fromkeys(options.measurements or MEASUREMENTS):
        started = time.perf_counter()
        try:
            section = MEASUREMENTS[name](bench)
        except Exception as error:  # the others go on
            section = Section(name, "failed", [Row(name, note=f"{type(error).__name__}: {error}", failed=True)])
        sections.append(section)
        print(f"{markdown([section])}\n({time.perf_counter() - started:.0f} s)\n", flush=True)
        about = about or _about(bench)
        file = options.output or (None if bench.is_miniature else RESULTS / file_name(about["machine"]))
        if file:
            write_json(file, [section], about | {"seconds": round(time.perf_counter() - started, 1)})
    if options.table:
        options.table.parent.mkdir(parents=True, exist_ok=True)
        options.table.write_text(markdown(sections), "utf-8")
    return 1 if any(section.has_failed for section in sections) else 0


def _about(bench: Bench) -> dict[str, Any]:
    """What figures hang on besides the code: machine, data, versions."""
    from benchmarks.results import machine, now, versions
    from teleclass.runtime.devices import device_name, visible_gpus

    gpus = [device_name(f"cuda:{index}") for index in range(visible_gpus())]
    return {
        "machine": ", ".join([*gpus, machine()]),
        "data": bench.data_dir.name,
        "rounds_asked": bench.rounds,
        "miniature": bench.is_miniature,
        "date": now(),
        "versions": versions(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed of teleclass beside what else a user would take.",
        allow_abbrev=False,
    )  # fmt: skip
    add = parser.add_argument
    add("measurements", nargs="*", metavar="MEASUREMENT", help=f"some of: {', '.join(MEASUREMENTS)}; all by default")
    add("--rounds", type=int, default=0, help="of every method that is measured in turn with others (3)")
    add("--data_dir", type=Path, help="documents to measure on; reviews beside the source tree, else the sample in it")
    add("--model", default="bundled", help="encoder and backbone: bundled, a folder, or a name on the hub")
    add("--output", type=Path, help="every value, as JSON (benchmarks/results/ and the machine's name)")
    add("--table", type=Path, help="write the tables to this Markdown file too")
    add("--miniature", action="store_true", help="the same code in seconds, to see it work: the figures tell nothing")
    add("--long", action="store_true", help="also label a million documents with 10,000 classes")
    return parser


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in options.measurements:  # argparse's own choices refuse an empty list before Python 3.12
        if name not in MEASUREMENTS:
            parser.error(f"there is no measurement {name!r}; write some of {', '.join(MEASUREMENTS)}")
    if options.rounds < 0:
        parser.error("--rounds must be 1 or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
