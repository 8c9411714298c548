"""Encoder workers that die or stand still: what they wrote before stays."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from faults.harness import below, wait_until

from teleclass.errors import WorkerError
from teleclass.model.encoding import chunks_of, encode_texts
from teleclass.model.shards import ShardJournal, job_of
from teleclass.runtime.standstill import SupervisionConfig

pytestmark = pytest.mark.slow

WORDS = ["ripe", "apple", "ladder", "crust", "knife", "pear"]
TEXTS = [" ".join(WORDS[(number + place) % 6] for place in range(number % 9)) for number in range(500)]
"""Eight chunks of 64 or less."""


def encode(folder, model, devices=("cpu",), **more):
    journal = ShardJournal(folder / "rows.npy")
    journal.open(job_of(TEXTS, "model"), len(TEXTS), 32)
    report = encode_texts(TEXTS, journal.rows, model, devices, journal=journal, **more)
    return report, np.load(journal.rows)


def worker():
    """The process id of an encoder worker, once there is one."""
    found = []
    wait_until(lambda: found.extend(multiprocessing.active_children()) or found, 30)
    return found[0].pid


@pytest.mark.twin("teleclass.model.encoding:ShardJournal.done=lambda _: set()")
def test_a_dead_worker_costs_the_chunk_it_was_at_and_the_rows_are_the_same(tmp_path, tiny_model, monkeypatch):
    (tmp_path / "whole").mkdir()
    _, expected = encode(tmp_path / "whole", tiny_model)
    mark = ShardJournal.mark

    def killing(journal, number):
        mark(journal, number)
        if len(journal.done()) == 3:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    done = ShardJournal.done
    monkeypatch.setattr(ShardJournal, "mark", killing)
    with pytest.raises(WorkerError, match="ended with status -9"):
        encode(tmp_path, tiny_model)
    monkeypatch.setattr(ShardJournal, "mark", mark)
    kept = done(ShardJournal(tmp_path / "rows.npy"))
    assert len(kept) >= 3
    report, rows = encode(tmp_path, tiny_model)
    assert report.documents == sum(len(chunk) for number, chunk in enumerate(chunks_of(TEXTS)) if number not in kept)
    assert report.documents < len(TEXTS)
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.twin("teleclass.model.encoder_workers:Standstill.find")
def test_a_stopped_worker_is_noticed_at_the_deadline(tmp_path, tiny_model):
    stopper = threading.Thread(target=lambda: os.kill(worker(), signal.SIGSTOP))
    stopper.start()
    started = time.monotonic()
    guard = threading.Timer(20, lambda: os.kill(worker(), signal.SIGKILL))  # the twin would wait for ever
    guard.daemon = True
    guard.start()
    with pytest.raises(WorkerError, match=r"the encoder worker on cpu was stopped for \d s"):
        encode(tmp_path, tiny_model, supervision=SupervisionConfig(stopped_after=3))
    guard.cancel()
    assert time.monotonic() - started < 3 + 5
    assert multiprocessing.active_children() == []


PARENT = """
import sys
from pathlib import Path
from teleclass.model.encoding import create_rows, encode_texts

if __name__ == "__main__":
    rows = Path(sys.argv[1]) / "rows.npy"
    texts = ["ripe apple"] * 2_000_000
    create_rows(rows, len(texts), 32)
    encode_texts(texts, rows, Path(sys.argv[2]), ["cpu", "cpu"])
"""


@pytest.mark.twin("teleclass.model.encoder_workers:follow_parent")
def test_no_worker_is_left_when_its_parent_is_killed(tmp_path, tiny_model):
    program = tmp_path / "program.py"
    program.write_text(PARENT)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([os.environ.get("PYTHONPATH", ""), *sys.path]))
    process = subprocess.Popen([sys.executable, str(program), str(tmp_path), str(tiny_model)], cwd=tmp_path,
                               env=environment)  # fmt: skip
    workers: list[int] = []

    def are_there():
        workers[:] = [pid for pid in below(process.pid) if b"spawn_main" in command(pid)]
        return len(workers) == 2

    wait_until(are_there, 60)
    time.sleep(3)
    process.kill()
    process.wait()
    try:
        wait_until(lambda: not any(b"spawn_main" in command(pid) for pid in workers), 5)
    finally:
        for pid in workers:
            if b"spawn_main" in command(pid):
                os.kill(pid, signal.SIGKILL)


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read()
    except OSError:
        return b""
