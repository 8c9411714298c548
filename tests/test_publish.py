"""The trained model in MLflow: logged once, registered on demand, and served."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import TEST
from experiments import SCRIPT, clean_environment, mlflow_runs, run
from tracked import client_of

from teleclass.classifier import TELEClassifier

pytestmark = pytest.mark.slow

TEXTS = list(TEST.values())[:3]


@pytest.fixture(scope="module")
def registered(one_process):
    """The same experiment again, all of it reused, with a name for its model."""
    process = run([sys.executable, SCRIPT, *one_process.arguments, "--register", "filer"], one_process.cwd)
    assert process.returncode == 0, process.stderr
    assert "registered as version 1 of filer" in process.stderr
    return mlflow_runs(one_process.cwd)[-1].info.run_id


def test_a_run_that_trains_logs_its_model_and_one_that_reuses_it_does_not(one_process, registered):
    assert len(mlflow_runs(one_process.cwd)[0].outputs.model_outputs) == 1
    plain = run([sys.executable, SCRIPT, *one_process.arguments], one_process.cwd)
    assert plain.returncode == 0, plain.stderr
    again = mlflow_runs(one_process.cwd)[-1]
    assert again.info.run_id != registered
    assert not (again.outputs and again.outputs.model_outputs)


def test_the_registered_version_is_this_runs_and_names_what_it_needs(one_process, registered):
    client = client_of(one_process.cwd)
    version = client.get_model_version("filer", "1")
    assert version.run_id == registered
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert model.source_run_id == registered
    folder = Path(model.artifact_location.removeprefix("file://"))
    needs = (folder / "requirements.txt").read_text().split()
    assert {one.partition("==")[0] for one in needs} == {"mlflow", "numpy", "pandas", "scipy", "torch", "transformers"}
    assert (folder / "code" / "teleclass" / "classifier.py").is_file()
    assert (folder / "artifacts" / "model" / "README.md").read_text().startswith("---\nlibrary_name: transformers")


def test_a_served_model_answers_three_texts_with_names_paths_and_probabilities(one_process, registered, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bin_folder = str(Path(sys.executable).parent)
    environment = clean_environment(
        MLFLOW_TRACKING_URI=f"sqlite:///{one_process.cwd}/mlruns/mlflow.db", MLFLOW_DISABLE_TELEMETRY="true",
        PATH=os.pathsep.join([bin_folder, os.environ["PATH"]]),
    )  # fmt: skip
    del environment["PYTHONPATH"]  # the code that was logged with the model is what it runs
    command = [
        "mlflow",
        "models",
        "serve",
        "--model-uri",
        "models:/filer/1",
        "--env-manager",
        "local",
        "--port",
        str(port),
    ]
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, tmp_path / "server.log")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"dataframe_records": [{"text": text} for text in TEXTS]}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)["predictions"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
    expected = list(TELEClassifier.from_pretrained(one_process.model, "cpu").predictions(TEXTS))
    assert [one["classes"] for one in found] == [one.classes for one in expected]
    assert [one["paths"] for one in found] == [one.paths for one in expected]
    for one, own in zip(found, expected, strict=True):
        assert one["probabilities"] == pytest.approx(own.probabilities, abs=0.01)


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)
