"""Which chunks of an encoding job are written, so that a run that died goes on with the others."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from teleclass.runtime.disk import allocate_rows

VERSION = 1
"""Raised when the same texts would be cut into other chunks."""


class ShardJournal:
    """The rows of an encoding job, and a marker for each chunk of them that is safely on the disk.

    Parameters
    ----------
    rows : the ``.npy`` file that the workers write into; markers lie in a folder beside it.
    """

    def __init__(self, rows: Path):
        self.rows = rows
        self.folder = rows.with_suffix(".done")

    def open(self, job: str, n_rows: int, n_columns: int) -> None:
        """Keep what the same job has written before; else start with rows of NaN and no marker.

        Parameters
        ----------
        job : tells these texts, this model and its limits from any others, see :func:`job_of`.

        Raises
        ------
        DiskError : there is no room for the rows.
        """
        if self._job() == job and _has_shape(self.rows, (n_rows, n_columns)):
            return
        self.remove()
        allocate_rows(self.rows, n_rows, n_columns).flush()
        self.folder.mkdir()
        self._job_file.write_text(job, "utf-8")

    def done(self) -> set[int]:
        """Numbers of the chunks that are written."""
        return {int(one.name) for one in self.folder.iterdir() if one.name.isdigit()}

    def mark(self, number: int) -> None:
        """Mark a chunk as written, once its rows are on the disk whatever becomes of the machine."""
        with self.rows.open("rb") as stream:
            os.fsync(stream.fileno())
        (self.folder / str(number)).touch()

    def remove(self) -> None:
        """Remove rows and markers; the markers first, as they speak of the rows."""
        if self.folder.exists():
            self._job_file.unlink(missing_ok=True)
            shutil.rmtree(self.folder)
        self.rows.unlink(missing_ok=True)

    @property
    def _job_file(self) -> Path:
        return self.folder / "job"

    def _job(self) -> str | None:
        try:
            return self._job_file.read_text("utf-8")
        except (OSError, ValueError):
            return None


def job_of(texts: Sequence[str], *settings: object) -> str:
    """SHA-256 over the texts of a job, in their order, and what else decides its rows."""
    digest = hashlib.sha256(repr((VERSION, len(texts), settings)).encode())
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def _has_shape(file: Path, shape: tuple[int, int]) -> bool:
    try:
        rows = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(rows.shape == shape and rows.dtype == np.float32)
