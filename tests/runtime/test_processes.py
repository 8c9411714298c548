import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from experiments import processes_in

from teleclass.runtime import processes
from teleclass.runtime.processes import Stopped, end_group, run_group, signals_raise, signals_wait, undisturbed

LAUNCHER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
time.sleep(60)
"""
"""Starts a rank and ends at once when it is told to, as DeepSpeed's launcher does."""

RANK = """
import pathlib, signal, sys, time

def close(number, frame):
    time.sleep(0.5)
    pathlib.Path("closed").touch()
    sys.exit()

signal.signal(signal.SIGTERM, {handler})
pathlib.Path("ready").touch()
time.sleep(60)
"""


def launcher_in(folder, handler="close"):
    command = [sys.executable, "-c", LAUNCHER, RANK.format(handler=handler)]
    process = subprocess.Popen(command, cwd=folder, start_new_session=True)
    wait_for(folder / "ready")
    return process


def wait_for(file):
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_a_launcher_started_may_close_its_files_though_the_launcher_is_gone(tmp_path):
    process = launcher_in(tmp_path)
    end_group(process)
    assert process.returncode == -signal.SIGTERM
    assert (tmp_path / "closed").exists()
    assert processes_in(tmp_path) == []


def test_what_does_not_end_in_time_is_killed(tmp_path):
    process = launcher_in(tmp_path, handler="signal.SIG_IGN")
    started = time.monotonic()
    end_group(process, grace=0.5)
    assert time.monotonic() - started < 10
    assert processes_in(tmp_path) == []


def test_the_status_of_a_command_is_handed_on():
    assert run_group([sys.executable, "-c", "raise SystemExit(7)"]) == 7


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, Stopped), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_ends_the_command_before_it_is_raised(tmp_path, monkeypatch, number, raised):
    monkeypatch.chdir(tmp_path)
    others = len(processes_in(tmp_path))

    def send():
        wait_for(tmp_path / "ready")
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(raised):
        run_group([sys.executable, "-c", LAUNCHER, RANK.format(handler="close")])
    thread.join()
    assert (tmp_path / "closed").exists()
    assert len(processes_in(tmp_path)) == others


def test_only_the_first_signal_is_raised_so_that_a_run_can_be_closed():
    with pytest.raises(Stopped) as stopped, signals_raise():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
    assert stopped.value.code == 143


def test_nothing_disturbs_a_block_that_closes_something():
    before = signal.getsignal(signal.SIGINT)
    with undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, Stopped), (signal.SIGINT, KeyboardInterrupt)])
def test_the_first_signal_waits_until_the_block_obeys_it(number, raised):
    reached = []
    with pytest.raises(raised), signals_wait() as request:
        assert not request.is_made
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)  # a launcher's, which is the same request
        time.sleep(0.01)
        reached.append(request.is_made)
        request.obey()
    assert reached == [True]


def test_a_later_signal_is_raised_at_once(monkeypatch):
    monkeypatch.setattr(processes, "WAVE", 0.05)
    reached = []
    with pytest.raises(Stopped), signals_raise(), signals_wait():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        reached.append("the first")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        reached.append("the second")
    assert reached == ["the first"]


def test_a_signal_that_the_block_did_not_see_is_raised_at_its_end():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), signals_wait():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_of_the_block_is_not_hidden_by_a_signal():
    with pytest.raises(ZeroDivisionError), signals_raise(), signals_wait():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        1 / 0  # noqa: B018


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, Stopped), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_that_comes_while_an_object_is_cleared_up_is_not_lost(number, raised, capfd):
    """Python drops what is raised there and prints a traceback."""

    class Closing:
        def __del__(self):
            os.kill(os.getpid(), number)
            time.sleep(0)

    hook, before = sys.unraisablehook, signal.getsignal(signal.SIGTERM)
    with pytest.raises(raised), signals_raise():
        Closing()
        time.sleep(5)
        raise AssertionError("nothing came")
    assert capfd.readouterr().err == ""
    assert (sys.unraisablehook, signal.getsignal(signal.SIGTERM)) == (hook, before)


def test_other_exceptions_there_are_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Broken:
        def __del__(self):
            raise ValueError("closed twice")

    with signals_raise():
        Broken()
    (one,) = told
    assert isinstance(one.exc_value, ValueError)
