"""The documentation's commands and Python, run in its pages' order in one process: most of their time is imports.

As a program: ``python examples.py STEPS.json RESULTS.json`` runs such steps in the working directory.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from experiments import ROOT, run

PAGES = ("README.md", *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md"))), "notebooks/README.md")
SHELL = ("mkdir", "printf")
"""The shell's own commands that pages use: they make ``my_data`` and other input, before all else."""

DEBUG = [
    "--preset", "debug", "--encoder.devices", "cpu", "--enrichment.corpus_terms", "false", "--training.max_steps", "2",
    "--training.log_every", "1",
]  # fmt: skip
DEBUG_OPTIONS = (
    'preset="debug", encoder={"devices": "cpu"}, enrichment={"corpus_terms": False}, '
    'training={"max_steps": 2, "log_every": 1}'
)
"""What makes an experiment cheap: given after a command's own options, and in place of ``preset="offline"``."""

CHEAPER = {"check": ["--no_estimate"]}
"""What is added to other commands: timing the models takes ten seconds."""

SECOND_RUN = "python run_experiment.py --prediction.classifier_weight 0.3"
"""In no page: another run to compare the first with, whose phases up to the training are reused."""

STANDS_FOR = {"make run": "python run_experiment.py"}
"""The program that a make target runs."""

NOT_RUN = {
    "make test": "it is these tests",
    ". .venv/bin/activate": "the tests run in that environment",
    "teleclass ui": "a server, which tests/test_cli.py starts and asks",
    "deepspeed run_experiment.py --data_dir my_data --output_dir my_outputs": "needs GPUs; tests/test_experiment.py "
    "starts the launcher with two processes",
    "python run_experiment.py --data_dir my_data --llm.base_url http://localhost:8000/v1 --llm.model my-model "
    '--llm.document_kind "product review" --llm.max_documents 2000 --llm.max_calls 5000': "needs a language model; "
    "tests/test_language_model_run.py has a scripted one",
    "python run_experiment.py --data_dir my_data --output_dir my_outputs --preset offline --seeds 42,43,44": "three "
    "experiments in processes of their own; tests/test_sweep.py runs several seeds",
    "teleclass evaluate --data_dir my_data --labels my_outputs/submission.csv --split train": "needs gold, which the "
    "example has not; tests/commands/test_evaluate.py compares with some",
    "export MLFLOW_TRACKING_URI=sqlite:///mlruns/mlflow.db": "the tests' own store is used",
    "mlflow models serve --model-uri models:/reviews/1 --env-manager local --port 5001": "a server, which "
    "tests/test_publish.py starts and asks",
    "pip install -e '.[notebooks]'": "installs jupyterlab",
    "jupyter lab notebooks": "opens a browser; tests/test_notebooks.py runs the notebooks",
}
"""Commands of the pages that the tests do not run, and why."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language; "" for those that name none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)
    return [block for named, block in found if named == language]


def commands(page: str) -> list[str]:
    """The shell commands of a page, one line each, without comments."""
    lines = re.sub(r"\\\n\s*", "", "".join(blocks(page, "sh"))).splitlines()
    return [command for line in lines if (command := re.sub(r"\s{2,}#.*", "", line).strip())]


def is_program(command: str) -> bool:
    """Whether it runs this program, and not the shell's own."""
    return STANDS_FOR.get(command, command).startswith(("python run_experiment.py", "teleclass "))


@dataclass(frozen=True)
class Examples:
    """What became of the commands and of each page's Python, by command and by page."""

    folder: Path
    results: dict[str, dict]

    @classmethod
    def run(cls, folder: Path, model: Path) -> Examples:
        """Run what the pages show. Their input is made first; ``model`` is the BERT that a page names my_bert."""
        shutil.copytree(model, folder / "my_bert")
        steps = []
        for page in PAGES:
            for command in commands(page):
                if command not in NOT_RUN and not is_program(command):
                    assert command.startswith(SHELL), f"{page}: {command}"
                    subprocess.run(["bash", "-c", command], cwd=folder, check=True)
                elif command not in NOT_RUN:
                    steps.append({"name": command, "words": shlex.split(STANDS_FOR.get(command, command))})
            if page == PAGES[0]:
                steps.append({"name": SECOND_RUN, "words": shlex.split(SECOND_RUN)})
            if python := blocks(page, "python"):
                steps.append({"name": page, "python": "\n".join(python).replace('preset="offline"', DEBUG_OPTIONS)})
        (folder / "steps.json").write_text(json.dumps(steps))
        done = run([sys.executable, __file__, "steps.json", "results.json"], folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return cls(folder, json.loads((folder / "results.json").read_text()))


def _run_step(step: dict) -> int:
    from teleclass import cli, pipeline

    if "python" in step:
        exec(compile(step["python"], step["name"], "exec"), {"__name__": "__main__"})
        return 0
    words = step["words"]
    if words[0] == "python":
        return pipeline.main([*words[2:], *DEBUG])
    return cli.main([*words[1:], *CHEAPER.get(words[1], [])])


def _main(steps_file: str, results_file: str) -> None:
    from teleclass.runtime.console import log, set_up_console

    set_up_console()
    results = {}
    for step in json.loads(Path(steps_file).read_text()):
        printed = io.StringIO()
        for handler in log.handlers:
            handler.setStream(printed)
        started = time.perf_counter()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                status = _run_step(step)
            except SystemExit as stop:
                status = stop.code
            except Exception:
                traceback.print_exc()
                status = -1
        results[step["name"]] = {
            "status": status, "printed": printed.getvalue(), "seconds": time.perf_counter() - started
        }  # fmt: skip
    Path(results_file).write_text(json.dumps(results))


if __name__ == "__main__":
    _main(*sys.argv[1:])
