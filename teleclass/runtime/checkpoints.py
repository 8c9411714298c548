"""Checkpoints that cannot lie: every file's size and SHA-256 in a manifest, a folder renamed when all are there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teleclass.runtime.artifacts import file_digest, fingerprint
from teleclass.runtime.console import log
from teleclass.runtime.distributed import Ranks

MANIFEST = "manifest.json"
POINTER = "newest.json"
KEPT = 2
"""Checkpoints that are kept: the newest, and the one before for the case that the disk has spoilt it."""

PREFIX = "checkpoint_"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint all of whose files are as they were written.

    Attributes
    ----------
    facts : what it was written with, as JSON holds it.
    """

    folder: Path
    facts: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of a training, one folder each, numbered in the order in which they were written.

    A checkpoint is written into a folder beside, synced to the disk and renamed; then a pointer to it is renamed, and
    only then older ones are removed. Every rank makes the same calls.
    """

    def __init__(self, folder: Path, ranks: Ranks):
        self.folder = folder
        self.ranks = ranks
        self._newest = ""

    def find(self, lineage: str) -> Checkpoint | None:
        """The newest checkpoint that is whole, looked for by rank 0; unfinished ones and those of others are removed.

        Parameters
        ----------
        lineage : what a checkpoint's ``lineage`` must be to be of this training.
        """
        found = None
        if self.ranks.is_first:
            self._remove_unfinished()
            found = next(self._whole(lineage), None)
        found = self.ranks.from_first(found)
        self._newest = found.folder.name if found else ""
        return found

    def write(self, facts: dict[str, Any], fill: Callable[[Path], list[str]]) -> str:
        """Write a checkpoint, of which each rank fills in its files.

        Parameters
        ----------
        facts : what :meth:`find` gives back; ``lineage`` is needed.
        fill : writes files into a folder and names those that this rank has written, relative to it. It must call
            the other ranks as often when it fails as when it does not.

        Returns
        -------
        what went wrong, on every rank; empty when the checkpoint is in place. Older ones are whole in either case.
        """
        first = self.ranks.is_first
        (name, *_), problem = self._attempt(lambda: self._begin() if first else "")
        partial = self.folder / f".{name}.partial"
        files: dict[str, dict[str, Any]] = {}
        if not problem:
            written, problem = self._attempt(lambda: fill(partial))
        if not problem:
            parts, problem = self._attempt(lambda: self._sync_own_files(partial))
            files = {file: entry for part in parts for file, entry in (part or {}).items()}
        if not problem:
            missing = sorted({file for part in written for file in part} - files.keys())
            problem = f"{missing[0]} is not there" if missing else ""
        if not problem:
            _, problem = self._attempt(lambda: self._publish(partial, name, facts, files) if first else None)
        if problem and first and name:
            shutil.rmtree(partial, ignore_errors=True)
        return problem

    def _attempt(self, action: Callable[[], Any]) -> tuple[list[Any], str]:
        """Every rank's result of an action, and the first problem that one of them had; empty without one."""
        result, problem = None, ""
        try:
            result = action()
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter where the disk is full
            problem = (error.strerror if isinstance(error, OSError) else None) or str(error).partition("\n")[0]
            problem = problem or type(error).__name__
        answers = self.ranks.gather((result, problem))
        return [one for one, _ in answers], next((one for _, one in answers if one), "")

    def _begin(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{PREFIX}{1 + max(map(_number, self._all()), default=0):06d}"
        (self.folder / f".{name}.partial").mkdir()
        return name

    def _sync_own_files(self, partial: Path) -> dict[str, dict[str, Any]]:
        """Size and digest of each file, on the disk for good; the files are dealt out to the ranks."""
        files = sorted(file for file in partial.rglob("*") if file.is_file())
        found = {}
        for file in files[self.ranks.rank :: self.ranks.world_size]:
            _sync(file)
            found[str(file.relative_to(partial))] = {"bytes": file.stat().st_size, "sha256": file_digest(file)}
        return found

    def _publish(self, partial: Path, name: str, facts: dict[str, Any], files: dict[str, dict[str, Any]]) -> None:
        content = {"facts": facts, "files": files}
        _write(partial / MANIFEST, {**content, "sha256": fingerprint(**content)})
        for folder in {partial, *((partial / file).parent for file in files)}:
            _sync(folder)
        os.rename(partial, self.folder / name)
        _sync(self.folder)
        pointer = self.folder / f".{POINTER}.partial"
        _write(pointer, {"checkpoint": name})
        os.replace(pointer, self.folder / POINTER)
        _sync(self.folder)
        kept = {name, self._newest}
        self._newest = name
        for other in self._all():
            if other.name not in kept:
                shutil.rmtree(other, ignore_errors=True)

    def _whole(self, lineage: str) -> Iterator[Checkpoint]:
        """This training's checkpoints that are as they were written: the pointer's, then the others, newest first."""
        names = [folder.name for folder in sorted(self._all(), key=_number, reverse=True)]
        try:
            pointed = json.loads((self.folder / POINTER).read_text("utf-8"))["checkpoint"]
        except (OSError, ValueError, KeyError, TypeError):
            pointed = None
        if pointed is None and names:
            log.info("  %s cannot be read; the newest checkpoint that is whole is taken", self.folder / POINTER)
        elif pointed not in names and names:
            log.info("  %s is not there; the newest checkpoint that is whole is taken", self.folder / str(pointed))
        for name in sorted(names, key=lambda one: one != pointed):
            folder = self.folder / name
            try:
                facts = read_manifest(folder)
                if facts.get("lineage") != lineage:
                    log.info("  %s is of other inputs or options, removed", folder)
                    shutil.rmtree(folder, ignore_errors=True)
                    continue
            except (OSError, ValueError) as error:
                log.info("  %s cannot be used (%s); the one before is taken if it is whole", folder, error)
                continue
            yield Checkpoint(folder, facts)

    def _all(self) -> list[Path]:
        return [folder for folder in self.folder.glob(f"{PREFIX}*") if folder.is_dir() and _number(folder)]

    def _remove_unfinished(self) -> None:
        """Remove what a run that was killed while it wrote has left."""
        for path in self.folder.glob(".*.partial"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The facts of a checkpoint, all of whose files are read and compared with its manifest.

    Raises
    ------
    OSError, ValueError : a file is missing, or not as it was written.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        files, facts = manifest["files"], manifest["facts"]
        is_whole = manifest["sha256"] == fingerprint(facts=facts, files=files)
    except FileNotFoundError:
        raise ValueError(f"{MANIFEST} is not there") from None
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise ValueError(f"{MANIFEST} is not as it was written")
    for name, entry in files.items():
        file = folder / name
        if not file.is_file():
            raise ValueError(f"{name} is not there")
        if file.stat().st_size != entry["bytes"]:
            raise ValueError(f"{name} has {file.stat().st_size:,} bytes, not {entry['bytes']:,}")
        if file_digest(file) != entry["sha256"]:
            raise ValueError(f"{name} is not as it was written")
    return facts


def _number(folder: Path) -> int:
    number = folder.name.removeprefix(PREFIX)
    return int(number) if number.isascii() and number.isdigit() else 0


def _write(file: Path, content: Any) -> None:
    with file.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(path: Path) -> None:
    """Bring a file, or a folder's list of files, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
