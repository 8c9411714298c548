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
    """

    def __init__(self, problem: str, file: str | PathLike[str] | None = None, line: int | None = None):
        self.problem = problem
        self.file = None if file is None else str(file)
        self.line = line
        place = "" if self.file is None else self.file + ("" if line is None else f", line {line}") + ": "
        super().__init__(place + problem)


class ModelError(TeleclassError):
    """A model that cannot be found or read."""


class WorkerError(TeleclassError):
    """A worker process that ended before its work did."""


class RankError(TeleclassError):
    """Another rank of the experiment that is lost."""


class LockedError(TeleclassError):
    """An output folder that another experiment is writing to."""


class DiskError(TeleclassError):
    """A disk that is full, or too small for what is to be written."""
