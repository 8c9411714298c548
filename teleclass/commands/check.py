"""``teleclass check``: what would go wrong with a data folder, or surprise, before a long run."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from teleclass.data.findings import ERROR, OK, STATUS, WARNING, Finding, counted, shortened, worst
from teleclass.runtime.console import set_up_console
from teleclass.runtime.table import print_lines, rich_console

if TYPE_CHECKING:
    from teleclass.folder_check import FolderCheck

STYLES = {OK: ("✓", "green"), WARNING: ("!", "yellow"), ERROR: ("✗", "bold red")}


def main(arguments: list[str]) -> int:
    """Check a folder; returns 0 where it is clean, 1 with warnings, 2 with errors."""
    parser = argparse.ArgumentParser(
        prog="teleclass check",
        description="Tell everything that would go wrong with a data folder, or surprise, before a long run. "
        "Exit status 0: clean, 1: warnings, 2: errors.",
        epilog="Other options are the experiment's, such as --training.epochs 3: see run_experiment.py --help.",
        allow_abbrev=False,
    )
    parser.add_argument("data_dir", nargs="?", default="", help="folder of taxonomy and documents; else the sample")
    parser.add_argument("--preset", default="", help="count tokens and time with its models; 'offline' if left out")
    parser.add_argument("--model", default="", help="the same with this model as encoder and as classifier")
    parser.add_argument("--no_estimate", action="store_true", help="do not time the models")
    parser.add_argument("--all", action="store_true", help="name all classes and documents, not the first five")
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    options, more = parser.parse_known_args(_joined(arguments))
    set_up_console()
    from teleclass.config import parse_arguments
    from teleclass.folder_check import FolderCheck

    given = ["--preset", options.preset or "offline", *more]
    given += ["--data_dir", options.data_dir] if options.data_dir else []
    given += ["--encoder.model", options.model, "--training.model", options.model] if options.model else []
    config = parse_arguments(given, "teleclass check")
    found = FolderCheck(config, is_model_chosen=bool(options.model or options.preset))
    found.run(with_estimate=not options.no_estimate)
    if options.json:
        print(json.dumps(found.as_json(), indent=1, ensure_ascii=False))
    else:
        _print(found, sys.maxsize if options.all else 5)
    return STATUS[worst(found.sections)]


def _joined(arguments: list[str]) -> list[str]:
    """``--training.epochs 3`` as one word, for the 3 not to be taken for the folder."""
    from teleclass.config import ExperimentConfig, flatten

    takes_value = {f"--{name}" for name, value in flatten(ExperimentConfig()).items() if not isinstance(value, bool)}
    joined: list[str] = []
    for one in arguments:
        if joined and joined[-1] in takes_value:
            joined[-1] += f"={one}"
        else:
            joined.append(one)
    return joined


def _print(found: FolderCheck, shown: int) -> None:
    console = rich_console(sys.stdout)
    if console is None:
        print_lines(_plain(found, shown), sys.stdout)
    else:
        _print_rich(found, shown, console)


def _plain(found: FolderCheck, shown: int) -> list[str]:
    lines = [str(found.config.data_folder)]
    for section in found.sections:
        lines += ["", section.title]
        for finding in section.findings:
            lines.append(f"  {finding.kind:<7}  {_told(finding, shown)}")
            lines += [f"  {'':<7}  → {finding.advice}"] if finding.advice else []
    return [*lines, "", _verdict(found)]


def _print_rich(found: FolderCheck, shown: int, console: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(Text(str(found.config.data_folder), style="bold"))
    for section in found.sections:
        table = Table.grid(padding=(0, 1))
        for finding in section.findings:
            mark, style = STYLES[finding.kind]
            text = Text(_told(finding, shown), style="" if finding.kind == OK else style)
            if finding.advice:
                text.append(f"\n→ {finding.advice}", style="not bold default")
            table.add_row(Text(f" {mark}", style=style), text)
        console.print()
        console.print(Text(section.title, style="bold"))
        console.print(table)
    console.print()
    console.print(Text(_verdict(found), style=STYLES[worst(found.sections)][1]))


def _told(finding: Finding, shown: int) -> str:
    """A finding in one line, with its place and the first of what it is about."""
    place = ""
    if finding.kind != OK and finding.file:
        place = finding.file + (f", line {finding.line}" if finding.line else "") + ": "
    return place + finding.text + (f": {shortened(finding.items, shown)}" if finding.items else "")


def _verdict(found: FolderCheck) -> str:
    kinds = [finding.kind for section in found.sections for finding in section.findings]
    if worst(found.sections) == OK:
        return "clean"
    return f"{counted(kinds.count(ERROR), 'error')}, {counted(kinds.count(WARNING), 'warning')}"
