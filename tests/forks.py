"""Experiments as forks of a process that has loaded all libraries, which takes ten seconds of CPU time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from teleclass.runtime.processes import process_start

ZYGOTE = Path(__file__).parent / "zygote.py"


class Zygote:
    """Forks experiments; ``environment`` is what it loads the libraries with."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ZYGOTE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        assert self._answer() == "ready"

    def fork(
        self, cwd: Path, arguments: list[str], environment: Mapping[str, str], stderr: Path, stdout: Path | None = None
    ) -> Fork:
        """Start an experiment; what it prints goes to files, to one where ``stdout`` is not given."""
        order = {"cwd": str(cwd), "arguments": arguments, "environment": dict(environment)}
        return Fork(self, int(self._ask(order | {"stderr": str(stderr), "stdout": str(stdout or stderr)})), stderr)

    def status(self, pid: int) -> int:
        """The exit status of one that has ended; negative for a signal's number."""
        return int(self._ask({"wait": pid}))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)

    def _ask(self, order: dict) -> str:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        return self._process.stdout.readline().strip()


@dataclass
class Fork:
    """A process that the zygote forked."""

    zygote: Zygote
    pid: int
    stderr: Path
    started: float = field(default_factory=time.monotonic)
    status: int | None = None

    def is_alive(self) -> bool:
        return process_start(self.pid) is not None

    def wait(self, timeout: float = 120) -> int:
        deadline = time.monotonic() + timeout
        while self.is_alive():
            if time.monotonic() > deadline:
                used = cpu_seconds(self.pid)
                os.kill(self.pid, signal.SIGUSR2)  # where it stands, on its standard error
                time.sleep(1)
                used = f"{cpu_seconds(self.pid):.1f} s of CPU time, {cpu_seconds(self.pid) - used:.2f} in the last"
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"still running after {timeout} s, {used}: {self.text()}")
            time.sleep(0.02)
        if self.status is None:
            self.status = self.zygote.status(self.pid)
        return self.status

    def text(self) -> str:
        return self.stderr.read_text("utf-8", "replace") if self.stderr.exists() else ""

    def wait_for(self, line: str, timeout: float = 120) -> None:
        """Wait until it has printed a line that begins so."""
        deadline = time.monotonic() + timeout
        while not any(one.startswith(line) for one in self.text().splitlines()):
            assert self.is_alive(), self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    """Of a process and those of its threads that have ended, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
