"""The errors a user can mend, each told in one line."""

from __future__ import annotations

from os import PathLike


class TeleclassError(Exception):
    """Something the user can mend; the program prints it in one line and ends with status 2."""


class InputError(TeleclassError):
    """A file or an option that cannot be used.

    Parameters
    ----------
    problem : what is wrong and what to do about it, in one sentence.
    file : the file it is in, when there is one.
    line : the line of that file, counted from 1.

    Attributes
    ----------
    repair : what ``--repair`` does about it; empty where nothing.
    """

    def __init__(self, problem: str, file: str | PathLike[str] | None = None, line: int | None = None):
        self.problem = printable(problem)
        self.file = None if file is None else str(file)
        self.line = line
        self.repair = ""
        place = "" if self.file is None else self.file + ("" if line is None else f", line {line}") + ": "
        super().__init__(place + self.problem)


def printable(text: str) -> str:
    """A text in one line, with control characters spelt out: names in a user's files must not move the cursor."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


class ModelError(TeleclassError):
    """A model that cannot be found or read."""


class MemoryShortageError(TeleclassError):
    """A device too small for the least that can be computed at once."""


class WorkerError(TeleclassError):
    """A worker process that ended before its work did."""


class RankError(TeleclassError):
    """Another rank of the experiment that is lost."""


class LockedError(TeleclassError):
    """An output folder that another experiment is writing to."""


class DiskError(TeleclassError):
    """A disk that is full, or too small for what is to be written."""


class StoreError(TeleclassError):
    """A tracking store that cannot be used."""


class NotFiniteLoss(TeleclassError):
    """The training loss is NaN or infinite."""

    def __init__(self, loss: float, step: int):
        self.loss, self.step = loss, step
        super().__init__(f"the training loss is {loss} at step {step}; lower optimizer.params.lr in the DeepSpeed file")
