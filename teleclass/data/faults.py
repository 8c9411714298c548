"""All the faults of a data folder, not only the first: by the readers themselves, on a copy that is mended."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from teleclass.errors import InputError, TeleclassError

Result = TypeVar("Result")

MAX_FAULTS = 20
"""Faults that are looked for in one file."""
MENDABLE = ".txt"
"""Files in which a faulty line can be left out; of others only the first fault is found."""


class MendedCopy:
    """A data folder of links, in which a line or a file that a reader stops at is emptied, for it to go on.

    Line numbers stay as they are: an empty line is read over.

    Attributes
    ----------
    folder : what readers are to be given.
    faults : what they stopped at, with the places of the real folder.
    emptied : files that are empty now as a whole.
    """

    def __init__(self, source: Path, folder: Path):
        self.source = source
        self.folder = folder
        self.faults: list[TeleclassError] = []
        self.emptied: set[str] = set()
        self._count: Counter[Path] = Counter()
        for place in (".", "train", "test"):
            if not (source / place).is_dir():
                continue
            (folder / place).mkdir(exist_ok=True)
            for file in (source / place).iterdir():
                if file.is_file():
                    (folder / place / file.name).symlink_to(file.resolve())

    def read(self, reader: Callable[[Path], Result], empty: tuple[str, ...] = ()) -> Result | None:
        """What a reader makes of the folder, mended as often as needed; None where it cannot be mended.

        Parameters
        ----------
        empty : names of files that may be emptied as a whole, where the reader names no line.
        """
        while True:
            try:
                return reader(self.folder)
            except InputError as error:
                name = self._name(error)
                if name is None:
                    self.faults.append(error)
                    return None
                real = InputError(error.problem, self.source / name, error.line)
                real.repair = error.repair
                if str(real) in map(str, self.faults):  # another reader of the same file
                    return None
                self.faults.append(real)
                self._count[name] += 1
                if self._count[name] >= MAX_FAULTS:
                    self.faults.append(InputError(f"more faults than {MAX_FAULTS}: not read further", real.file))
                    return None
                if error.line is not None and name.suffix == MENDABLE:
                    self._leave_out(name, error.line)
                elif str(name) in empty:
                    (self.folder / name).unlink(missing_ok=True)
                    (self.folder / name).touch()
                    self.emptied.add(str(name))
                else:
                    return None
            except TeleclassError as error:
                self.faults.append(error)
                return None

    def _name(self, error: InputError) -> Path | None:
        """The faulty file, relative to the data folder."""
        if error.file is None or not Path(error.file).is_relative_to(self.folder):
            return None
        return Path(error.file).relative_to(self.folder)

    def _leave_out(self, name: Path, line: int) -> None:
        file = self.folder / name
        lines = file.read_bytes().split(b"\n")
        lines[line - 1] = b""
        file.unlink()  # the link, not what it leads to
        file.write_bytes(b"\n".join(lines))


@contextmanager
def mended_copy(source: Path) -> Iterator[MendedCopy]:
    """A :class:`MendedCopy` that is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="teleclass.check.") as folder:
        yield MendedCopy(source, Path(folder).resolve())
