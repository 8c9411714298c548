"""What the pages show is run, and what they say of options, files and messages is so."""

from __future__ import annotations

import ast
import configparser
import re
import runpy
import shlex
from itertools import pairwise

import pytest
import yaml
from examples import NOT_RUN, PAGES, STANDS_FOR, blocks, commands, text_of
from experiments import ROOT

from teleclass.cli import COMMANDS
from teleclass.config import PHASE_NAMES, PRESETS, ExperimentConfig, flatten, parse_arguments
from teleclass.pipeline import PHASES
from teleclass.runtime.artifacts import FILES

SHOWN = {command: page for page in PAGES for command in commands(page)}
PYTHON_PAGES = [page for page in PAGES if blocks(page, "python")]
MEASUREMENTS = ("docs/log.md", "docs/quality.md", "docs/scaling.md")
"""Pages of results, whose commands take minutes and more and are tested in tests/benchmarks."""

FOREIGN_OPTIONS = {"num_accelerators", "hostfile", "env"}
"""Of DeepSpeed's launcher, and the beginning of ``mlflow models serve --env-manager``."""

EXPECTED_STATUS = {"check": (0, 1)}
"""Statuses of commands that may end well with another than 0: ``teleclass check`` with warnings."""


@pytest.mark.slow
@pytest.mark.parametrize("command", SHOWN)
def test_every_command_of_a_page_ends_well(examples, command):
    words = shlex.split(STANDS_FOR.get(command, command))
    if words[0] == "teleclass":
        assert words[1] in COMMANDS
    if "run_experiment.py" in words:
        parse_arguments(words[words.index("run_experiment.py") + 1 :])
    if command not in NOT_RUN and command in examples.results:
        result = examples.results[command]
        assert result["status"] in EXPECTED_STATUS.get(words[1], (0,)), result["printed"]


def test_what_is_not_run_is_still_shown():
    assert set(NOT_RUN) - set(SHOWN) == set()


def test_a_make_target_is_represented_by_the_program_it_runs():
    makefile = (ROOT / "Makefile").read_text()
    for target, command in STANDS_FOR.items():
        recipe = re.search(rf"^{target.removeprefix('make ')}:.*\n\t(.*)$", makefile, re.MULTILINE)[1]
        assert recipe == f"$(BIN)/{command} $(ARGS)"


@pytest.mark.slow
@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_the_python_of_a_page_runs(examples, page):
    assert examples.results[page]["status"] == 0, examples.results[page]["printed"]


@pytest.mark.slow
def test_the_pages_experiments_leave_what_they_say(examples):
    assert examples.results["README.md"]["printed"].splitlines()[-1] == "my_outputs/submission.csv 1.0"
    lines = (examples.folder / "my_outputs" / "submission.csv").read_text().splitlines()
    assert lines == blocks("docs/own_data.md", "")[0].splitlines()
    first = examples.results["make run"]["printed"]
    assert "labels in outputs/submission.csv" in first
    assert "look at it with: teleclass ui" in first
    assert first.count(" done in ") == len(PHASES)
    again = examples.results["python run_experiment.py --data_dir my_data --output_dir my_outputs"]["printed"]
    assert again.count("is fresh, reused") == len(PHASES), "only what changed is done again"


@pytest.mark.slow
def test_a_second_experiment_in_one_process_trains_too(examples):
    printed = [result["printed"] for result in examples.results.values()]
    assert sum("[5/7] train done" in text for text in printed) == 2


@pytest.mark.parametrize("page", [page for page in PAGES if page not in MEASUREMENTS])
def test_blocks_without_a_language_hold_output_and_no_command(page):
    for block in blocks(page, ""):
        assert not re.search(r"^\s*(make|python|teleclass|deepspeed|pip) ", block, re.MULTILINE), block


@pytest.mark.parametrize("page", [page for page in PAGES if page not in MEASUREMENTS])
def test_every_option_that_a_page_names_exists(page):
    named = set(re.findall(r"(?<![\w-])--([a-z][\w.]*)", text_of(page)))
    commands = [ast.parse(path.read_text()) for path in ROOT.glob("teleclass/commands/*.py")]
    of_commands = {text.removeprefix("--") for tree in commands for text in _texts(tree) if text.startswith("--")}
    known = {*flatten(ExperimentConfig()), *of_commands, *FOREIGN_OPTIONS, "config", "print_config", "help"}
    assert named - known == ({"section.name"} if page == "docs/configuration.md" else set())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)]+)\)", text_of(page)):
        if target.startswith("https:"):
            continue
        name, _, heading = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.is_file(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
        assert not heading or heading in slugs, target


def test_the_readme_is_one_screen_that_leads_to_every_page():
    readme = text_of("README.md")
    assert len(readme.splitlines()) <= 100
    assert "\n## Your own data\n" in readme, "an error message names this heading"
    for page in PAGES:
        if page.startswith("docs/") and page != "docs/README.md":
            assert f"({page})" in readme
            assert f"]({page.removeprefix('docs/')})" in text_of("docs/README.md")


def test_the_configuration_page_is_what_its_program_writes():
    page = runpy.run_path(str(ROOT / "docs" / "make_configuration.py"))["page"]()
    assert text_of("docs/configuration.md") == page, "run: python docs/make_configuration.py"
    for name in flatten(ExperimentConfig()):
        assert f"| `{name}` |" in page
    for preset in PRESETS:
        assert f"`{preset}`" in page


def test_the_phases_page_names_every_phases_files():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", text_of("docs/phases.md"), re.MULTILINE)
    about, files = rows[: len(PHASES)], rows[len(PHASES) :]
    assert tuple(name for name, *_ in about) == PHASE_NAMES
    assert tuple(name for name, *_ in files) == PHASE_NAMES
    for phase, (_, reads, writes) in zip(PHASES, files, strict=True):
        assert re.findall("`(.*?)`", writes) == [FILES[name] for name in phase.outputs]
        assert re.findall("`(.*?)`", reads) == [FILES[name] for name in phase.inputs]
    ranks = {phase.name: phase.every_rank for phase in PHASES}
    assert {name: where != "rank 0" for name, where, _ in about} == ranks


def test_the_picture_of_the_flow_shows_the_phases_in_order():
    (picture,) = re.findall(r"```mermaid\n(.*?)```", text_of("docs/phases.md"), re.DOTALL)
    places = [re.search(rf"\b{name}\[", picture).start() for name in PHASE_NAMES]
    assert all(first < second for first, second in pairwise(places))


def test_every_message_of_the_troubleshooting_page_is_in_the_source():
    sources = [text for path in ROOT.glob("teleclass/**/*.py") for text in _texts(ast.parse(path.read_text()))]
    quoted = re.findall(r"^\| `(.*?)` \|", text_of("docs/troubleshooting.md"), re.MULTILINE)
    assert len(quoted) > 40
    for message in quoted:
        pieces = [re.escape(piece) for piece in message.split("…")]
        assert any(re.search(".*".join(pieces), text, re.DOTALL) for text in sources), message


def test_the_citation_file_names_this_version_and_the_method():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    assert citation["version"] == setup["metadata"]["version"]
    assert citation["license"] == setup["metadata"]["license"]
    assert "https://arxiv.org/abs/2403.00165" in [one["url"] for one in citation["references"] if "url" in one]


def _texts(tree: ast.AST) -> list[str]:
    """Every string of a module, with a mark in the place of each value."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found
