"""Checkpoints: whole or not there, whatever is cut, changed, killed or full."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from teleclass.runtime.checkpoints import MANIFEST, POINTER, CheckpointFolder
from teleclass.runtime.distributed import Ranks

CONTENTS = {"rank_0.pt": b"draws" * 20, "engine/weights.pt": b"weights" * 300, "training.json": b"{}"}

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_checkpoints import fill
from teleclass.runtime.checkpoints import CheckpointFolder
from teleclass.runtime.distributed import Ranks

folder, moment = Path(sys.argv[1]), int(sys.argv[2])
store = CheckpointFolder(folder, Ranks())
store.find("own")
events = 0

def boundary(event, arguments):
    \"\"\"Whatever changes a file or a folder of the checkpoints is a moment at which a run may be killed.\"\"\"
    global events
    changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree") or (
        event == "open" and isinstance(arguments[1], str) and arguments[1] != "r")
    if changes and str(folder) in str(arguments[0]):
        events += 1
        if events == moment:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(boundary)
store.write({"lineage": "own", "step": 3}, fill)
print(events)
"""


def fill(folder: Path) -> list[str]:
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return list(CONTENTS)


def checkpoint(folder: Path, step: int, lineage: str = "own") -> None:
    store = CheckpointFolder(folder, Ranks())
    store.find(lineage)
    assert store.write({"lineage": lineage, "step": step}, fill) == ""


def found_step(folder: Path, lineage: str = "own") -> int | None:
    found = CheckpointFolder(folder, Ranks()).find(lineage)
    if found is None:
        return None
    assert {name: (found.folder / name).read_bytes() for name in CONTENTS} == CONTENTS
    return found.facts["step"]


def newest(folder: Path) -> Path:
    return folder / json.loads((folder / POINTER).read_text())["checkpoint"]


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with checkpoints of steps 1 and 2."""
    for step in (1, 2):
        checkpoint(tmp_path / "checkpoints", step)
    return tmp_path / "checkpoints"


@pytest.fixture
def said(monkeypatch, caplog):
    log = logging.getLogger("teleclass")
    monkeypatch.setattr(log, "propagate", True)
    monkeypatch.setattr(log, "disabled", False)  # the import linter of another test disables every logger
    caplog.set_level(logging.INFO, "teleclass")
    return caplog


def test_the_newest_is_found_and_only_it_and_the_one_before_are_kept(tmp_path, said):
    folder = tmp_path / "checkpoints"
    assert found_step(folder) is None
    store = CheckpointFolder(folder, Ranks())
    for step in range(1, 5):
        assert store.write({"lineage": "own", "step": step}, fill) == ""
        assert found_step(folder) == step
    assert len(list(folder.iterdir())) == 3
    assert said.messages == []


@pytest.mark.parametrize("name", [*CONTENTS, MANIFEST])
@pytest.mark.twin("teleclass.runtime.checkpoints:read_manifest=read_facts")
def test_a_file_that_is_cut_changed_or_missing_makes_the_one_before_be_taken_with_a_word(two, said, tmp_path, name):
    size = (newest(two) / name).stat().st_size

    def flip(file, place):
        content = bytearray(file.read_bytes())
        content[place] ^= 1
        file.write_bytes(content)

    damages = [lambda file: file.unlink()]
    damages += [lambda file, at=at: os.truncate(file, at) for at in {0, 1, size // 2, size - 1} if at < size]
    damages += [lambda file, at=at: flip(file, at) for at in {0, size // 3, size // 2, size - 1}]
    damages += [lambda file: file.write_bytes(file.read_bytes() + b"\0")]
    for number, damage in enumerate(damages):
        copy = tmp_path / f"damaged_{number}"
        shutil.copytree(two, copy)
        damage(newest(copy) / name)
        said.clear()
        assert found_step(copy) == 1, number
        assert len(said.messages) == 1
        assert name in said.messages[0]


def test_with_no_whole_checkpoint_training_begins_anew(two):
    for folder in two.glob("checkpoint_*"):
        os.truncate(folder / "engine" / "weights.pt", 10)
    assert found_step(two) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"checkpoint": "checkpoint_000009"}'])
def test_a_spoilt_pointer_costs_nothing(two, said, content):
    (two / POINTER).write_text(content)
    assert found_step(two) == 2
    assert len(said.messages) == 1


def test_a_bad_checkpoint_is_kept_until_a_new_one_is_in_place_and_the_good_one_before_with_it(two):
    os.truncate(newest(two) / "engine" / "weights.pt", 10)
    checkpoint(two, 3)
    assert found_step(two) == 3
    shutil.rmtree(newest(two))
    assert found_step(two) == 1


def test_a_checkpoint_of_something_else_is_never_used_and_removed_with_a_word(two, said):
    assert found_step(two, "another") is None
    assert len(said.messages) == 2
    assert found_step(two) is None


def test_a_failed_save_says_why_and_leaves_the_others_alone(two):
    def full(folder):
        fill(folder)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = CheckpointFolder(two, Ranks())
    before = {file: file.stat().st_mtime_ns for file in two.rglob("*")}
    assert store.write({"lineage": "own"}, full) == "No space left on device"
    assert store.write({"lineage": "own"}, lambda folder: [*fill(folder), "rank_1.pt"]) == "rank_1.pt is not there"
    assert {file: file.stat().st_mtime_ns for file in two.rglob("*")} == {**before}
    assert found_step(two) == 2


def test_a_folder_that_cannot_be_made_is_a_failed_save(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    store = CheckpointFolder(tmp_path / "checkpoints", Ranks())
    assert store.find("own") is None
    assert store.write({"lineage": "own"}, fill) == "File exists"


@pytest.mark.twin("teleclass.runtime.checkpoints:CheckpointFolder._publish=publish_at_once")
def test_killed_at_any_moment_of_a_save_the_step_before_or_the_new_one_is_whole(two, tmp_path, said):
    def kill_at(moment):
        copy = tmp_path / f"killed_{moment}"
        shutil.copytree(two, copy)
        arguments = [sys.executable, "-c", KILLED, str(copy), str(moment), str(Path(__file__).parent)]
        return copy, subprocess.run(arguments, capture_output=True, text=True)

    moments = int(kill_at(0)[1].stdout)
    assert moments >= 12, "every file, rename and removal of a save"
    steps = []
    for moment in range(1, moments + 1):
        copy, process = kill_at(moment)
        assert process.returncode == -9, process.stderr
        steps.append(found_step(copy))
        assert not list(copy.glob(".*.partial"))
        checkpoint(copy, 4)
        assert found_step(copy) == 4
    assert steps == sorted(steps)
    assert set(steps) == {2, 3}
