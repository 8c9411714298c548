"""The encoder's worker processes, real ones, on the tiny model."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.errors import WorkerError
from teleclass.model.encoder_workers import EncoderSettings, EncoderWorkers
from teleclass.model.encoding import chunks_of, create_rows, embedding_dimension, encode_texts

WORDS = ["ripe", "apple", "ladder", "crust", "knife", "pear"]
TEXTS = [" ".join(WORDS[(number + place) % 6] for place in range(number % 9)) for number in range(200)]
"""No words to eight of them: four chunks."""

ENDS_AFTER_AN_ERROR = """
import sys
from pathlib import Path
from teleclass.errors import WorkerError
from teleclass.model.encoding import create_rows, encode_texts

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    texts = [f"{number} " + "word " * 1000 for number in range(128)]
    create_rows(folder / "rows.npy", len(texts), 32)
    try:
        encode_texts(texts, folder / "rows.npy", folder, ["cpu"])
    except WorkerError:
        print("told", flush=True)
"""


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=400), st.integers(1, 5))
def test_chunks_hold_every_text_once_longest_first_and_machines_share_them(lengths, machines):
    texts = ["x" * length for length in lengths]
    chunks = chunks_of(texts)
    rows = [int(row) for chunk in chunks for row in chunk]
    assert sorted(rows) == list(range(len(texts)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    assert all(len(chunk) for chunk in chunks)
    shared = [row for machine in range(machines) for chunk in chunks[machine::machines] for row in chunk.tolist()]
    assert sorted(shared) == list(range(len(texts)))


@pytest.mark.parametrize(("n", "n_chunks"), [(0, 0), (1, 1), (64, 1), (65, 2), (32 * 100, 32)])
def test_chunks_have_64_texts_or_more_to_balance_workers(n, n_chunks):
    assert len(chunks_of(["text"] * n)) == n_chunks


def test_rows_that_nobody_fills_are_seen(tmp_path):
    create_rows(tmp_path / "rows.npy", 3, 2)
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r+")
    assert (rows.shape, rows.dtype) == ((3, 2), np.float32)
    assert np.isnan(rows).all()


@pytest.fixture
def encoded(tmp_path, tiny_model):
    """Function: the rows that some workers fill for a share, the others NaN, and the report."""

    def encode(devices, share=(0, 1)):
        file = tmp_path / f"{len(devices)}_{share[0]}_{share[1]}.npy"
        create_rows(file, len(TEXTS), embedding_dimension(tiny_model))
        report = encode_texts(TEXTS, file, tiny_model, devices, share=share)
        assert multiprocessing.active_children() == []
        return np.load(file), report

    return encode


@pytest.mark.slow
def test_workers_and_machines_fill_the_same_rows_however_many_they_are(encoded, tiny_model):
    """Every row once: what the machines fill is disjoint, together all, and bit for bit what one worker fills."""
    one, report = encoded(["cpu"])
    assert np.isfinite(one).all()
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-4)
    assert (report.documents, report.peak.gpu_mb) == (200, 0)
    assert report.peak.rss_mb > 50
    assert report.dtype in ("float32", "bfloat16")

    two, _ = encoded(["cpu", "cpu"])
    np.testing.assert_array_equal(two, one)

    first, first_report = encoded(["cpu"], share=(0, 2))
    second, second_report = encoded(["cpu", "cpu"], share=(1, 2))
    by_first, by_second = (~np.isnan(rows).any(axis=1) for rows in (first, second))
    assert (by_first ^ by_second).all()
    assert (first_report.documents, second_report.documents) == (by_first.sum(), by_second.sum()) == (128, 72)
    np.testing.assert_array_equal(np.where(by_first[:, None], first, second), one)

    from sentence_transformers import SentenceTransformer

    some = [0, 8, 100, 199]
    own = SentenceTransformer(str(tiny_model), device="cpu").encode([TEXTS[row] for row in some])
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    assert (one[some] * own).sum(axis=1).min() > 0.99  # the right rows; bf16 where the machine is fast at it


@pytest.mark.slow
def test_workers_that_are_kept_encode_again_what_they_are_given(encoded, tiny_model, tmp_path):
    one, _ = encoded(["cpu"])
    file = tmp_path / "again.npy"
    create_rows(file, len(TEXTS), embedding_dimension(tiny_model))
    chunks = list(enumerate(chunks_of(TEXTS)))
    with EncoderWorkers(EncoderSettings(tiny_model, file), ["cpu", "cpu"]) as workers:
        pids = workers.pids
        assert workers.encode(chunks[:1], TEXTS) > 0
        filled = np.isfinite(np.load(file)).all(axis=1)
        assert sorted(np.flatnonzero(filled)) == sorted(chunks[0][1])
        assert workers.encode(chunks[1:], TEXTS) > 0
        assert (workers.pids, workers.encode([], TEXTS)) == (pids, pytest.approx(0, abs=0.5))
        assert [peak.rss_mb > 50 for peak in workers.finish()] == [True, True]
    np.testing.assert_array_equal(np.load(file), one)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_bad_model_folder_is_one_line_and_leaves_no_process(tmp_path):
    create_rows(tmp_path / "rows.npy", len(TEXTS), 32)
    with pytest.raises(WorkerError, match=r"an encoder worker failed: .") as caught:
        encode_texts(TEXTS, tmp_path / "rows.npy", tmp_path, ["cpu", "cpu"])
    assert "\n" not in str(caught.value)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told_with_its_status_and_the_others_are_stopped(tmp_path, tiny_model):
    """As the kernel does when memory is short: no word from the worker itself."""
    create_rows(tmp_path / "rows.npy", len(TEXTS), 32)

    def kill_one():
        while not (workers := multiprocessing.active_children()):
            time.sleep(0.01)
        os.kill(workers[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    with pytest.raises(WorkerError, match="worker on cpu ended with status -9") as caught:
        encode_texts(TEXTS, tmp_path / "rows.npy", tiny_model, ["cpu", "cpu"])
    killer.join()
    assert "\n" not in str(caught.value)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_the_program_ends_after_a_worker_failed_with_long_texts_still_waiting(tmp_path):
    """More text than a pipe holds (64 kB) was on its way to the worker that failed; nobody will ever read it."""
    program = tmp_path / "program.py"
    program.write_text(ENDS_AFTER_AN_ERROR)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, str(program), str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "told\n"
            assert process.wait(timeout=8) == 0
        finally:
            process.kill()


def test_a_machine_without_a_chunk_starts_nothing(tmp_path, tiny_model):
    report = encode_texts(["one text"], tmp_path / "not_there.npy", tiny_model, ["cpu"], share=(1, 2))
    assert (report.documents, report.documents_per_second) == (0, 0)


@pytest.mark.parametrize("kinds", [("mean",), ("mean", "cls")], ids="+".join)
def test_the_width_is_that_of_a_model_which_this_sentence_transformers_saved(tmp_path, tiny_model, kinds):
    """Version 6 writes its pooling modes as a name or a list of names, earlier ones as one switch each."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    modules = [Transformer(str(tiny_model)), Pooling(32, kinds if len(kinds) > 1 else kinds[0])]
    model = SentenceTransformer(modules=modules, device="cpu")
    model.save(str(tmp_path))
    assert embedding_dimension(tmp_path) == model.encode(["apple"]).shape[1] == 32 * len(kinds)
