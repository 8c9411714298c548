import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.harness import wait_until

from teleclass.runtime.processes import STARTER, as_starter, process_start

RANK = """
import os, sys, time
from pathlib import Path
from teleclass.runtime.parents import follow_launcher

follow_launcher()
Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys
from teleclass.runtime.processes import as_starter

environment = as_starter(None) if sys.argv[1] == "starter" else {**os.environ, "RANK": "0"}
subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[3]], env=environment)
"""


@pytest.mark.parametrize("kind", ["starter", "deepspeed"])
@pytest.mark.twin("teleclass.runtime.parents:_follow", "teleclass.runtime.parents:end_with_parent")
def test_a_process_ends_soon_after_what_started_it_was_killed(tmp_path, kind):
    pid_file = tmp_path / "pid"
    program = tmp_path / kind  # a launcher is told by the name of its program
    program.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(program), kind, RANK, str(pid_file)])
    wait_until(lambda: pid_file.exists() and pid_file.read_text(), 20)
    child = int(pid_file.read_text())
    time.sleep(0.3)
    assert process_start(child) is not None
    parent.kill()
    parent.wait()
    try:
        wait_until(lambda: process_start(child) is None, 5)
    finally:
        if process_start(child) is not None:
            os.kill(child, signal.SIGKILL)


def test_a_process_that_a_shell_started_outlives_it(tmp_path):
    """As under nohup: nobody is followed but launchers and this program itself."""
    pid_file = tmp_path / "pid"
    program = tmp_path / "shell"
    program.write_text(PARENT)
    environment = {name: value for name, value in os.environ.items() if name != STARTER}
    parent = subprocess.Popen([sys.executable, str(program), "shell", RANK, str(pid_file)], env=environment)
    wait_until(lambda: pid_file.exists() and pid_file.read_text(), 20)
    child = int(pid_file.read_text())
    parent.kill()
    parent.wait()
    time.sleep(1.5)
    assert process_start(child) is not None
    os.kill(child, signal.SIGKILL)


def test_a_starter_is_named_by_its_process_id_and_its_start():
    environment = as_starter({"A": "b"})
    assert environment["A"] == "b"
    pid, start = environment[STARTER].split()
    assert int(pid) == os.getpid()
    assert start == process_start(os.getpid())
    assert Path(f"/proc/{pid}").exists()
