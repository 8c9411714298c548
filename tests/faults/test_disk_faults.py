"""Experiments on disks that are too small, in an output folder that another one writes to, and after cut files."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import suppress

import pytest
from faults.harness import Bench, small_disk

from teleclass.config import parse_arguments
from teleclass.errors import TeleclassError
from teleclass.runtime.artifacts import Artifacts

pytestmark = pytest.mark.slow


def error_of(text: str) -> str:
    (line,) = [one for one in text.splitlines() if one.startswith("error: ")]
    assert "Traceback" not in text
    return line


@pytest.mark.twin("teleclass.pipeline:only_writer=lambda _: nullcontext()")
def test_a_second_experiment_in_the_same_folder_says_so_at_once(bench_of_one: Bench):
    output = bench_of_one.copied("twice", "train")
    (first,) = bench_of_one.start(output, "--training.epochs", "100000", "--training.max_steps", "0")
    try:
        first.wait_for("[5/7] train")
        started = time.monotonic()
        statuses, text = bench_of_one.run(output, "--training.max_steps", "1")
        assert time.monotonic() - started < 10
        assert statuses == [2]
        assert text.splitlines() == [error_of(text)]
        assert f"is being written to by process {first.pid} of " in text
        assert first.is_alive()
    finally:
        subprocess.run(["kill", str(first.pid)], check=True)
        assert first.wait() == 143


@pytest.mark.twin("teleclass.execution:need_space")
def test_what_a_phase_needs_is_told_before_it_starts(bench_of_one: Bench):
    with small_disk(bench_of_one.cwd / "small_disk", "3m") as output:
        statuses, text = bench_of_one.run(output)
        assert statuses == [2], text
        assert " needs " in error_of(text)
        assert " are free; make room, or give another --output_dir" in error_of(text)


def check_disk_of(bench: Bench, kilobytes: int) -> None:
    """Without the estimates, which would refuse such disks."""
    taken_out = {"TELECLASS_TEST_TAKEN_OUT": "teleclass.execution:need_space"}
    with small_disk(bench.cwd / f"disk_{kilobytes}", f"{kilobytes}k") as output:
        (fork,) = bench.start(output, environment=taken_out)
        status = fork.wait()
        assert status in (0, 2), fork.text()
        if status:
            assert "no space left" in error_of(fork.text())
        subprocess.run(["mount", "-o", "remount,size=64m", str(output)], check=True)
        statuses, text = bench.run(output)
        assert statuses == [0], text
        assert bench.results(output) == bench.expected


@pytest.mark.faults
@pytest.mark.parametrize("kilobytes", [8, 24, 40, 56, 100, 200, 300, 400, 500, 600])
@pytest.mark.twin(
    "teleclass.execution:full_disk_is_told=lambda *_: nullcontext()", "teleclass.runtime.disk:DiskError=OSError"
)
def test_a_disk_that_fills_up_anywhere_is_a_clear_error_and_with_room_the_run_goes_on(bench_of_one, kilobytes):
    check_disk_of(bench_of_one, kilobytes)


@pytest.mark.faults
@pytest.mark.parametrize("kilobytes", [800, 1000])
def test_a_disk_that_just_suffices_is_no_exception(bench_of_one, kilobytes):
    """The other side of the disks above: nothing protects here, and nothing is refused that fits."""
    check_disk_of(bench_of_one, kilobytes)


@pytest.mark.twin("teleclass.runtime.artifacts:Artifacts.marker=read_marker")
def test_a_marker_that_is_cut_anywhere_is_none(bench_of_one: Bench):
    output = bench_of_one.copied("cut", "evaluate")
    artifacts = Artifacts(output)
    for phase in ("expand", "train"):
        file = output / "intermediate" / "completed" / f"{phase}.json"
        content = file.read_bytes()
        assert artifacts.marker(phase) is not None
        for length in range(len(content)):
            file.write_bytes(content[:length])
            assert artifacts.marker(phase) is None
        file.write_bytes(content)


SMALL = ("config.yaml", "metrics.json", "ds_config_used.json", "logs/rank_1.json", ".lock_holder.json", ".lock",
         "intermediate/class_terms.json", "submission.csv",
         "intermediate/learning_curve.csv", "model/config.json", "model/taxonomy.json")  # fmt: skip


@pytest.mark.parametrize("part", [0.5, *(pytest.param(part, marks=pytest.mark.faults) for part in (0, 0.25, 0.99))])
@pytest.mark.twin("teleclass.runtime.artifacts:Artifacts.missing=lambda *_: []")
def test_after_small_files_were_cut_the_same_command_ends_with_the_same_submission(bench_of_one: Bench, part):
    output = bench_of_one.cwd / "cut_small"
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(bench_of_one.whole, output)
    for name in SMALL:
        if (output / name).exists():
            content = (output / name).read_bytes()
            (output / name).write_bytes(content[: int(part * len(content))])
    statuses, text = bench_of_one.run(output)
    assert statuses == [0], text
    assert bench_of_one.results(output) == bench_of_one.expected


@pytest.mark.faults
@pytest.mark.twin("teleclass.config:TeleclassError=ValueError")
def test_a_configuration_that_is_cut_anywhere_is_read_or_refused(bench_of_one: Bench):
    file = bench_of_one.cwd / "cut.yaml"
    content = (bench_of_one.whole / "config.yaml").read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with suppress(TeleclassError):
            parse_arguments(["--config", str(file)])
