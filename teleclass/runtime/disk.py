"""Space on disks: looked at before it is needed, taken before it is mapped, and told of when it is gone."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from teleclass.errors import DiskError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, a used-up quota and a limit on the size of files."""

FULL_WORDS = ("no space left on device", "disk quota exceeded", "file too large", "database or disk is full",
              "os error 28", "os error 122", "os error 27")  # fmt: skip
"""What libraries make of them that raise errors of their own."""

NOTHING_LEFT = 64 << 10
"""Free bytes below which any failed writing is put down to a full disk."""


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write where a folder is, or is to be made."""
    there = next((one for one in (folder, *folder.absolute().parents) if one.exists()), Path("/"))
    return shutil.disk_usage(there).free


def need_space(folder: Path, n_bytes: int, what: str) -> None:
    """Check that there is room before anything is written.

    Parameters
    ----------
    what : that needs it, as the error names it.

    Raises
    ------
    DiskError : there is less.
    """
    free = free_bytes(folder)
    if n_bytes > free:
        raise DiskError(
            f"{what} needs {size(n_bytes)} in {folder} and {size(free)} are free; make room, or give another "
            "--output_dir"
        )


def allocate_rows(path: Path, n_rows: int, n_columns: int) -> np.memmap:
    """Create a float32 ``.npy`` file of shape (n_rows, n_columns), mapped to be written; every value starts as NaN.

    Its space is taken at once: writing to a mapped file that the disk has no room for would end the process by
    SIGBUS, without a word.

    Raises
    ------
    DiskError : there is no room; no file is left.
    """
    try:
        with path.open("wb") as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, n_columns)}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.flush()
            take_space(stream.fileno(), stream.tell(), 4 * n_rows * n_columns)
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno in FULL:
            raise DiskError(_told(path.parent, path.name, error)) from None
        raise
    rows = np.load(path, mmap_mode="r+")
    rows[:] = np.nan
    return rows


def take_space(descriptor: int, start: int, n_bytes: int) -> None:
    """Have the disk set so many bytes aside for an open file."""
    if n_bytes:
        os.posix_fallocate(descriptor, start, n_bytes)


@contextmanager
def full_disk_is_told(folder: Path, what: str) -> Iterator[None]:
    """Make one clear error of a full disk, however the library that met it has put it.

    Parameters
    ----------
    folder : that is written to.
    what : is being done, as the error names it.

    Raises
    ------
    DiskError : the disk is full.
    """
    try:
        yield
    except DiskError:
        raise
    except Exception as error:
        if is_full(error, folder):
            raise DiskError(_told(folder, what, error)) from None
        raise


def is_full(error: BaseException | None, folder: Path) -> bool:
    """Whether an error, or one that it came from, is of a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(words in str(error).lower() for words in FULL_WORDS):
            return True
        if isinstance(error, (OSError, RuntimeError)) and free_bytes(folder) < NOTHING_LEFT:
            return True  # torch says no more than that it failed to write
        error = error.__cause__ or error.__context__
    return False


def size(n_bytes: float) -> str:
    """Bytes as a person reads them: ``512 kB``, ``3.2 MB``, ``1.5 GB``."""
    for unit in ("kB", "MB", "GB"):
        n_bytes /= 1000
        if n_bytes < 1000 or unit == "GB":
            return f"{n_bytes:.0f} {unit}" if n_bytes >= 100 or unit == "kB" else f"{n_bytes:.1f} {unit}"
    raise AssertionError


def _told(folder: Path, what: str, error: BaseException) -> str:
    file = getattr(error, "filename", None)
    where = f" ({file})" if file else ""
    return (
        f"{what}: no space left{where}; {size(free_bytes(folder))} are free in {folder}. What was complete is kept: "
        "make room and run the same command again"
    )
