import io
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from experiments import ROOT, clean_environment

from teleclass.runtime.console import duration, is_first_rank, log, progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),  # one decimal would say "60.0 s"
        (60, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7859, "2 h 10 min"),  # 2 × 3600 + 10 × 60 + 59
        (100 * 3600 + 61, "100 h 01 min"),
    ],
)
def test_a_duration_reads_as_a_person_says_it(seconds, text):
    assert duration(seconds) == text


CODE = """
import json, os
from teleclass.runtime.console import log, quiet_libraries, set_up_console

set_up_console()
set_up_console()
import logging
for name in ("transformers", "mlflow", "alembic", "DeepSpeed"):
    logging.getLogger(name).warning("noise of %s", name)
logging.getLogger("DeepSpeed").setLevel(logging.INFO)  # as DeepSpeed does at its import
quiet_libraries()
logging.getLogger("DeepSpeed").warning("more noise")
log.info("a line")
log.error("an error")
print(json.dumps({name: os.environ.get(name) for name in ("TRANSFORMERS_VERBOSITY", "DS_LOG_LEVEL")}))
"""


def console(**environment):
    inherited = clean_environment(**environment)
    for name in ("TRANSFORMERS_VERBOSITY", "DS_LOG_LEVEL", "RANK"):
        if name not in environment:
            inherited.pop(name, None)
    return subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, env=inherited, capture_output=True, text=True)


@pytest.mark.parametrize("rank", [{}, {"RANK": "0"}], ids=["no launcher", "rank 0"])
def test_the_first_rank_tells_each_line_once_on_standard_error_and_libraries_are_quiet(rank):
    process = console(**rank)
    assert process.stderr == "a line\nan error\n"
    assert json.loads(process.stdout) == {"TRANSFORMERS_VERBOSITY": "error", "DS_LOG_LEVEL": "error"}


@pytest.mark.parametrize("rank", ["1", "10"])
def test_other_ranks_tell_only_errors(rank):
    assert console(RANK=rank).stderr == "an error\n"


def test_what_the_user_set_for_the_libraries_stays():
    process = console(TRANSFORMERS_VERBOSITY="debug", DS_LOG_LEVEL="info")
    assert json.loads(process.stdout) == {"TRANSFORMERS_VERBOSITY": "debug", "DS_LOG_LEVEL": "info"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "rank", "disabled"),
    [
        (Terminal, None, False),
        (Terminal, "0", False),
        (Terminal, "1", True),
        (io.StringIO, None, False),
        (io.StringIO, "1", True),
    ],
    ids=["terminal", "terminal of rank 0", "terminal of rank 1", "file", "file of rank 1"],
)
def test_progress_is_shown_by_the_first_rank_only(monkeypatch, stream, rank, disabled):
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert is_first_rank() == (rank != "1")
    monkeypatch.setattr(sys, "stderr", stream())
    bar = progress(iter("abc"), total=3, unit="documents", what="encoding")
    assert bar.disable == disabled
    assert list(bar) == ["a", "b", "c"]
    assert sys.stderr.getvalue() == ""  # nothing in the first two seconds


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_bar_without_an_iterable_can_be_updated_where_it_is_not_shown(monkeypatch, rank):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress(total=10, unit="steps", what="training") as bar:
        bar.update(4)
    assert sys.stderr.getvalue() == ""


@pytest.fixture
def file(monkeypatch):
    """Standard error that goes to a file, and what is logged into it."""
    stream = io.StringIO()
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(stream)])
    monkeypatch.setattr(log, "level", logging.INFO)
    return stream


def pass_seconds(bar, seconds):
    bar.start_t -= seconds
    bar.last_print_t -= seconds


def test_in_a_file_progress_is_a_line_a_minute(file):
    with progress(total=1200, unit="steps", what="training") as bar:
        bar.update(4)
        pass_seconds(bar, 62)
        bar.update(116)
        bar.update(1)
        pass_seconds(bar, 60)
        bar.update(119)
    first, second = file.getvalue().splitlines()
    assert first == "  training: 120 of 1200 steps in 01:02, 09:18 to go"
    assert second.startswith("  training: 240 of 1200 steps in 02:02, 08:0")


def test_in_a_file_a_loop_within_a_loop_has_lines_too(file):
    for _ in progress([1], unit="shards", what="encoding"):
        bar = progress(iter("abc"), total=3, unit="batches", what="shard")
        pass_seconds(bar, 90)
        assert list(bar) == ["a", "b", "c"]
    assert file.getvalue() == "  shard: 1 of 3 batches in 01:30, 03:00 to go\n"


def test_progress_in_a_file_takes_no_thread_and_no_process(file):
    threads = threading.active_count()
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    with progress(total=10, unit="steps", what="training") as bar:
        bar.update(1)
        assert threading.active_count() == threads
        assert Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text() == children


def test_what_is_shown_names_the_work_and_its_unit(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = progress(total=10, unit="documents", what="encoding")
    bar.start_t -= 3  # as if the two seconds were over
    bar.update(4)
    bar.refresh()
    assert "encoding:  40%" in sys.stderr.getvalue()
    assert "documents" in sys.stderr.getvalue()
    bar.close()
