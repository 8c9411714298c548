"""Kills a training at every file boundary of one save and lets it go on, each time with ranks forked from this process.

A fork has the libraries loaded, so that a training takes a second or two and not ten to begin.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from resume_driver import train_in
from struck import watch

from teleclass.runtime.console import set_up_console
from teleclass.runtime.distributed import Ranks, import_deepspeed


def forked(n_ranks: int, work: Callable[[Ranks], None], said: Path, strike: str = "") -> bool:
    """Do some work in forked ranks; returns whether all ended well. When one dies the others are ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pids = set()
    for rank in range(n_ranks):
        pid = os.fork()
        if pid:
            pids.add(pid)
            continue
        status = 1
        try:
            os.dup2(os.open(said.with_name(f"{said.name}_{rank}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 2)
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(n_ranks), LOCAL_SIZE=str(n_ranks),
                              MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))  # fmt: skip
            if strike:
                os.environ["STRIKE"] = strike
                sys.addaudithook(watch)
            work(Ranks.from_environment())
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    ended_well = True
    while pids:
        pid, status = os.wait()
        pids.discard(pid)
        if status and ended_well:
            ended_well = False
            for other in pids:
                os.kill(other, signal.SIGKILL)
    return ended_well


def main(plan: Path) -> None:
    set_up_console()
    import_deepspeed()
    scenario = json.loads(plan.read_text())
    folder, n_ranks, save = Path(scenario["folder"]), scenario["ranks"], scenario["save"]
    digests = folder / "digests"
    digests.mkdir()

    def training(output: str) -> Callable[[Ranks], None]:
        def work(ranks: Ranks) -> None:
            ranks.connect()
            digest = train_in(folder / output, scenario, ranks)
            if ranks.is_first:
                (digests / output).write_text(digest)

        return work

    said = folder / "said"
    assert forked(n_ranks, training("whole"), said)
    assert forked(n_ranks, training("counted"), said, f"0 {save} 0 SIGKILL")
    results = []
    for rank in range(n_ranks):
        for moment in range(1, 1 + int(Path(f"moments_{rank}").read_text())):
            shutil.rmtree(folder / "killed", ignore_errors=True)
            (digests / "killed").unlink(missing_ok=True)
            started = time.monotonic()
            killed = not forked(n_ranks, training("killed"), said, f"{rank} {save} {moment} SIGKILL")
            ended_well = forked(n_ranks, training("killed"), said)
            lines = said.with_name("said_0").read_text()
            went_on = re.search(r"goes on after step (\d+)", lines)
            results.append({
                "rank": rank, "moment": moment, "killed": killed, "went_on": int(went_on[1]) if went_on else 0,
                "same": ended_well and (digests / "killed").read_text() == (digests / "whole").read_text(),
                "said": lines if not ended_well else "", "seconds": round(time.monotonic() - started, 1),
            })  # fmt: skip
            plan.with_suffix(".results").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
