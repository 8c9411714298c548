"""What becomes of a fault in the user's files: the program stops at it, or mends it and counts it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from teleclass.errors import InputError

LINE = "line left out"
ENTRY = "entry left out"
CHARACTERS = "line with characters replaced"
NULS = "line with NUL characters removed"


@dataclass(frozen=True)
class Repair:
    """A fault that was mended: where, what it was, and what was done about it."""

    file: str
    line: int | None
    problem: str
    action: str


class Mender:
    """Handles the faults that readers meet.

    Parameters
    ----------
    is_on : mend what can be mended; else the first fault is raised.

    Attributes
    ----------
    repairs : what was mended, each once however often its file was read.
    """

    def __init__(self, is_on: bool = False):
        self.is_on = is_on
        self._repairs: dict[str, Repair] = {}

    @property
    def repairs(self) -> list[Repair]:
        return list(self._repairs.values())

    def mend(self, error: InputError, action: str) -> None:
        """Count a fault that the caller mends.

        Raises
        ------
        InputError : the fault, where nothing is mended.
        """
        error.repair = error.repair or action
        if not self.is_on:
            raise error
        self._repairs.setdefault(str(error), Repair(error.file or "", error.line, error.problem, error.repair))

    def leaving_out(self, action: str = LINE) -> _LeavingOut:
        """A block that is left at its first fault: what it works on is left out."""
        return _LeavingOut(self, action)

    def summary(self, folder: Path) -> list[str]:
        """What was mended, a sentence a file: counts by what was done, and the first fault."""
        counts = Counter((one.file, one.action) for one in self._repairs.values())
        first: dict[str, Repair] = {}
        for one in self._repairs.values():
            first.setdefault(one.file, one)
        said = []
        for file, repair in first.items():
            done = ", ".join(_counted(number, action) for (of, action), number in counts.items() if of == file)
            place = f"line {repair.line}: " if repair.line else ""
            said.append(f"{_short(file, folder)}: {done} (first {place}{repair.problem})")
        return said


class _LeavingOut:
    """See :meth:`Mender.leaving_out`; one can be entered again and again."""

    def __init__(self, mender: Mender, action: str):
        self._mender, self._action = mender, action

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, InputError):
            return False
        error.repair = error.repair or self._action
        if not self._mender.is_on:
            return False
        self._mender.mend(error, self._action)
        return True


STRICT = Mender()
"""Mends nothing."""


def _short(file: str, folder: Path) -> str:
    return str(Path(file).relative_to(folder)) if Path(file).is_relative_to(folder) else file


def _counted(number: int, action: str) -> str:
    """``1 line left out``, ``2 lines left out``."""
    noun, _, done = action.partition(" ")
    plural = {"line": "lines", "entry": "entries"}[noun]
    return f"{number:,} {noun if number == 1 else plural} {done}"
