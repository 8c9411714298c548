import errno
import resource
import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest
from faults.harness import small_disk

from teleclass.errors import DiskError
from teleclass.runtime import disk
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.disk import allocate_rows, free_bytes, full_disk_is_told, need_space, size


def test_rows_are_there_as_not_a_number_and_can_be_written(tmp_path):
    rows = allocate_rows(tmp_path / "rows.npy", 3, 2)
    rows[1] = 5
    rows.flush()
    read = np.load(tmp_path / "rows.npy")
    assert (read.shape, read.dtype) == ((3, 2), np.float32)
    assert np.isnan(read[[0, 2]]).all()
    assert (read[1] == 5).all()
    assert np.load(tmp_path / "rows.npy", mmap_mode="r").shape == (3, 2)


def test_no_rows_are_a_file_too(tmp_path):
    assert allocate_rows(tmp_path / "rows.npy", 0, 4).shape == (0, 4)


WRITES_TOO_MUCH = """
import sys
from pathlib import Path
from teleclass.errors import DiskError
from teleclass.runtime.disk import allocate_rows

try:
    allocate_rows(Path(sys.argv[1]) / "rows.npy", 100_000, 8)[:] = 1
except DiskError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.twin("teleclass.runtime.disk:take_space=lambda fd, start, n: __import__('os').ftruncate(fd, start + n)")
def test_rows_that_a_disk_has_no_room_for_are_an_error_and_no_bus_error(tmp_path):
    import subprocess
    import sys

    with small_disk(tmp_path / "disk", "1m") as folder:
        process = subprocess.run(
            [sys.executable, "-c", WRITES_TOO_MUCH, str(folder)], capture_output=True, text=True, cwd=tmp_path
        )
        assert process.returncode == 2, process.stderr
        assert "rows.npy: no space left" in process.stdout
        assert list(folder.iterdir()) == []


def test_a_limit_on_the_size_of_files_is_an_error_too(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"rows\.npy: no space left"):
            allocate_rows(tmp_path / "rows.npy", 1000, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "rows.npy").exists()


def test_a_full_disk_leaves_the_old_file(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as folder:
        artifacts = Artifacts(folder)
        with artifacts.writing("predictions") as partial:
            partial.write_bytes(b"old")

        def fill():
            with full_disk_is_told(folder, "phase predict"), artifacts.writing("predictions") as partial:
                partial.write_bytes(bytes(2_000_000))

        with pytest.raises(DiskError, match="phase predict: no space left") as told:
            fill()
        assert artifacts.path("predictions").read_bytes() == b"old"
        assert not list(folder.rglob("*.partial"))
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
    ],
    ids=["space", "quota", "safetensors", "sqlite"],
)
def test_a_full_disk_is_one_error_however_a_library_puts_it(tmp_path, error):
    with pytest.raises(DiskError, match="phase train: no space left"), full_disk_is_told(tmp_path, "phase train"):
        try:
            raise error
        except Exception as first:
            raise ValueError("something broke") from first


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(ValueError, match="another"), full_disk_is_told(tmp_path, "phase train"):
        raise ValueError("another")


def test_a_failed_writing_on_a_disk_with_nothing_left_is_put_down_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(DiskError), full_disk_is_told(tmp_path, "phase train"):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")


def test_what_is_needed_and_what_is_free_are_told_before_anything_is_written(tmp_path):
    need_space(tmp_path, 1000, "phase encode")
    free = free_bytes(tmp_path)
    with pytest.raises(DiskError, match=r"phase encode needs \d[\d.]* GB in .* and \d.* are free; make room, or give"):
        need_space(tmp_path / "not" / "there", 2 * free + 10**9, "phase encode")


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [(0, "0 kB"), (512_000, "512 kB"), (3_200_000, "3.2 MB"), (150e6, "150 MB"), (5e13, "50000 GB")],
)
def test_sizes_are_read_by_people(n_bytes, words):
    assert size(n_bytes) == words
