"""Logging later what could not be logged while a run was under way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teleclass.errors import InputError, TeleclassError
from teleclass.runtime.tracking.entries import Entry, send
from teleclass.runtime.tracking.owner import is_alive
from teleclass.runtime.tracking.safe import FOLDER, FORMAT, is_refusal, one_line
from teleclass.runtime.tracking.store import experiment_id, open_store

ORIGIN = "logged_later"
"""The tag of a run that holds the id of the file it was made from."""
DONE = ".logged"
"""What the name of a file ends in when all of it is in the store."""


@dataclass(frozen=True)
class LoggedFile:
    """What became of a file.

    Attributes
    ----------
    entries : how many were sent.
    left_out : what the store would not take and what is not there any more, in words.
    """

    file: Path
    run_id: str
    entries: int
    left_out: list[str]


def unlogged_files(place: Path) -> list[Path]:
    """The files that a place holds: itself, those of an output folder, or those of a sweep's folders.

    Raises
    ------
    InputError : there is nothing there.
    """
    if place.is_file():
        return [place]
    found = sorted(file for file in place.rglob("*.jsonl") if file.parent.name == FOLDER)
    if not found:
        raise InputError("holds nothing that was not logged", place)
    return found


def log_file(file: Path, owner_may_live: bool = False) -> LoggedFile:
    """Send a file's entries to the store, into the run they belong to, and call the file done.

    A run that never reached the store is made, with its own start and end. The same file is never logged twice.

    Parameters
    ----------
    owner_may_live : for the process that writes the file itself.

    Raises
    ------
    InputError : the file is not of this kind.
    TeleclassError : its run is under way.
    """
    if file.suffix == DONE:
        raise InputError("is in the store already", file)
    header, entries = _read(file)
    if not owner_may_live and is_alive(header["owner"]):
        raise TeleclassError(f"the run of {file} is under way: process {header['owner'].get('pid')}")
    client = open_store(to_write=True)
    run_id = header["run_id"] or _run_of(client, header)
    had_model = bool(outputs.model_outputs if (outputs := client.get_run(run_id).outputs) else [])
    left_out, sent, has_end = [], 0, False
    for entry in entries:
        has_end |= entry["kind"] == "end"
        if entry["kind"] == "model" and had_model:
            continue
        if gone := _missing(entry):
            left_out.append(f"{gone} is not there any more")
            continue
        try:
            send(client, run_id, entry)
            sent += 1
        except Exception as error:
            if not is_refusal(error):
                raise
            left_out.append(one_line(error))
    if not has_end:  # killed before it could say how it ended
        client.set_terminated(run_id, "KILLED", int(file.stat().st_mtime * 1000))
    file.rename(file.with_name(file.name + DONE))
    return LoggedFile(file, run_id, sent, left_out)


def _read(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        lines = list(_objects(file))
        header, entries = lines[0], lines[1:]
        if header["format"] != FORMAT:
            raise InputError(f"has format {header['format']}, this program reads {FORMAT}", file)
        output = file.resolve().parent.parent
        for entry in entries:
            for name in ("path", "code"):
                if name in entry:
                    entry[name] = str(output / entry[name])
        if not all("kind" in entry for entry in entries) or not {"run_id", "owner", "id"} <= header.keys():
            raise KeyError
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file) from None
    except (ValueError, KeyError, IndexError, TypeError):
        raise InputError("is no file of what MLflow missed", file) from None
    return header, entries


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file; a last line without its end was cut by the death of who wrote it."""
    *whole, _ = file.read_text("utf-8").split("\n")
    for line in whole:
        yield json.loads(line)


def _run_of(client: Any, header: dict[str, Any]) -> str:
    """The run that stands for a file, made where an earlier attempt has not."""
    experiment = experiment_id(client, header["experiment"])
    found = client.search_runs([experiment], f"tags.{ORIGIN} = '{header['id']}'", max_results=1)
    if found:
        return found[0].info.run_id
    tags = {**header["tags"], ORIGIN: header["id"]}
    run = client.create_run(experiment, header["start_time"], tags=tags, run_name=header["run_name"] or None)
    return run.info.run_id


def _missing(entry: Entry) -> str:
    """The file of an entry that is not there any more; empty where all is there."""
    return next((entry[name] for name in ("path", "code") if name in entry and not Path(entry[name]).exists()), "")
