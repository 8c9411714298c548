import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from conftest import write_course_layout
from experiments import ROOT, clean_environment, processes_in, run

from teleclass.cli import main


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for command in ("run", "check", "encode", "evaluate", "predict", "runs", "ui"):
        assert f"\n  {command} " in printed


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["encod"]) == 2
    assert capsys.readouterr().err == "error: unknown command 'encod'; did you mean encode?\n"


def test_no_command_is_an_error(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().out


def test_the_options_are_parsed_and_explained_without_torch():
    """Two seconds less until a wrong option is told."""
    code = "import sys\nfrom teleclass.config import parse_arguments\nimport teleclass.pipeline\n"
    code += "parse_arguments(['--seed', '1'])\nprint(sorted(sys.modules))"
    modules = run([sys.executable, "-c", code], ROOT).stdout
    assert "'teleclass.phases.train'" in modules
    for heavy in ("torch", "transformers", "sentence_transformers", "mlflow", "deepspeed", "sklearn"):
        assert f"'{heavy}'" not in modules


def test_help_needs_no_heavy_library():
    code = "import sys; from teleclass.cli import main; main(['--help']); print(sorted(sys.modules))"
    modules = run([sys.executable, "-c", code], ROOT).stdout
    for heavy in ("torch", "transformers", "mlflow", "pandas", "deepspeed"):
        assert f"'{heavy}'" not in modules


@pytest.mark.slow
def test_encode_writes_the_vectors_of_both_corpora_in_file_order(tmp_path, tiny_model):
    data = write_course_layout(tmp_path / "data")
    command = [sys.executable, "-m", "teleclass", "encode", "--data_dir", str(data), "--model", str(tiny_model)]
    for devices in ("cpu", "cpu,cpu"):
        process = run([*command, "--output", str(tmp_path / devices), "--devices", devices], tmp_path)
        assert process.returncode == 0, process.stderr
    one, two = (np.load(tmp_path / name / "intermediate" / "document_embeddings.npy") for name in ("cpu", "cpu,cpu"))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
    from sentence_transformers import SentenceTransformer

    from teleclass.data.dataset import read_dataset

    expected = SentenceTransformer(str(tiny_model), device="cpu").encode(
        read_dataset(data).corpus.texts, normalize_embeddings=True
    )
    assert (1 - (one * expected).sum(axis=1)).max() < 1e-3


def test_encode_refuses_a_device_that_is_not_here(tmp_path, tiny_model, capsys):
    data = write_course_layout(tmp_path / "data")
    arguments = ["encode", "--data_dir", str(data), "--model", str(tiny_model), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--devices", "cuda:99"]) == 2
    assert "'cuda:99' is not here" in capsys.readouterr().err


@pytest.mark.slow
def test_the_ui_serves_this_projects_store_and_ends_with_all_its_processes_when_told(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "teleclass", "ui", "--port", str(port)],
        cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        assert process.stdout.readline().startswith("there is no run yet")
        deadline = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert process.poll() is None, process.stdout.read()
                assert time.monotonic() < deadline, "the UI did not answer"
                time.sleep(0.5)
        assert any(line == f"ready: http://127.0.0.1:{port} (Ctrl-C ends it)\n" for line in process.stdout)
        assert len(processes_in(tmp_path)) > 1, "the server is a process of its own"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert processes_in(tmp_path) == []


def test_a_port_that_is_taken_is_one_line_that_names_a_free_one(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["ui", "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(rf"error: 127\.0\.0\.1:{port} cannot be had: address already in use; try --port \d+\n", error)
    assert main(["ui", "--port", "70000"]) == 2
    assert capsys.readouterr().err == "error: --port 70000: a port is a number from 1 to 65535\n"
