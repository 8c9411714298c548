"""The notebooks run on an experiment's outputs, and are committed without any of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from experiments import ROOT, run

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ["01_explore_data", "02_pseudo_labels", "03_compare_runs", "04_errors_in_the_taxonomy"]


def cells(notebook: Path) -> list[dict]:
    return json.loads(notebook.read_text("utf-8"))["cells"]


@pytest.mark.slow
def test_every_notebook_runs(examples):
    process = run(
        [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=120", "-p", "no:cacheprovider",
         str(ROOT / "notebooks")],
        ROOT,
        TELECLASS_OUTPUT_DIR=str(examples.folder / "outputs"),
        MLFLOW_TRACKING_URI=f"sqlite:///{examples.folder}/mlruns/mlflow.db",
    )  # fmt: skip
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-2000:]
    assert f"{len(NAMES)} passed" in process.stdout


def test_the_notebooks_are_these():
    assert [notebook.stem for notebook in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(notebook):
    for cell in cells(notebook):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    stripped = subprocess.run([sys.executable, "-m", "nbstripout", "--verify", str(notebook)], capture_output=True)
    assert stripped.returncode == 0, stripped.stdout.decode()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_sentence_stands_before_every_code_cell(notebook):
    content = cells(notebook)
    assert content[0]["source"][0].startswith("# ")
    for before, cell in pairwise(content):
        if cell["cell_type"] == "code":
            assert before["cell_type"] == "markdown"
            assert "".join(before["source"]).rstrip().endswith((".", "?")), before["source"]


def test_pre_commit_strips_notebooks_and_runs_ruff():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert {"nbstripout", "ruff"} <= {hook["id"] for hook in hooks}
