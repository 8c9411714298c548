"""``teleclass ui``: the MLflow UI on this project's runs."""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from teleclass.errors import TeleclassError
from teleclass.runtime.processes import Stopped, end_group, signals_raise

PORTS = 65_535
START_SECONDS = 120
"""How long the server may take until it answers; a cold disk takes longer than its usual ten."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="teleclass ui", description="Start the MLflow UI on this project's runs.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    options = parser.parse_args(arguments)
    _check(options.host, options.port)
    from teleclass.runtime.tracking import has_store, shown_uri, ui_command

    command, environment = ui_command(options.port, options.host)
    url = f"http://{options.host}:{options.port}"
    try:
        with signals_raise():
            print(f"MLflow UI on {shown_uri()}: starting on {url}", flush=True)
            if not has_store():
                from teleclass.runtime.tracking.store import open_store

                print("there is no run yet; 'python run_experiment.py' makes one", flush=True)
                open_store()  # under the lock that an experiment takes too, which the server does not know
            server = subprocess.Popen(command, env=environment, start_new_session=True)
            try:
                if _answers(server, options.host, options.port):
                    print(f"ready: {url}{_page(options.host, options.port)} (Ctrl-C ends it)", flush=True)
                return server.wait()
            finally:
                end_group(server, grace=10)
    except (KeyboardInterrupt, Stopped):
        return 0


def _check(host: str, port: int) -> None:
    """Find out whether the address can be had, before anything is started.

    Raises
    ------
    TeleclassError : the port is taken, or this machine has no such address.
    """
    if not 0 < port <= PORTS:
        raise TeleclassError(f"--port {port}: a port is a number from 1 to {PORTS}")
    problem = _problem(host, port)
    if problem is None:
        return
    free = next((one for one in range(port + 1, min(port + 100, PORTS)) if _problem(host, one) is None), None)
    hint = f"; try --port {free}" if free else ""
    raise TeleclassError(f"{host}:{port} cannot be had: {problem}{hint}")


def _problem(host: str, port: int) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((host, port))
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return None


def _answers(server: subprocess.Popen, host: str, port: int) -> bool:
    """Wait until the server answers; False when it ended first, or still does not."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            _ask(host, port, "/health")
            return True
        except OSError:
            time.sleep(0.25)
    if server.poll() is None:
        print(f"it does not answer after {START_SECONDS} s", file=sys.stderr)
    return False


def _page(host: str, port: int) -> str:
    """The page of the experiment's runs, where there is one; the UI would open on traces of language models."""
    from teleclass.runtime.tracking import TrackingConfig

    name = urllib.parse.quote(TrackingConfig().experiment)
    try:
        answer = json.loads(_ask(host, port, f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}"))
        return f"/#/experiments/{answer['experiment']['experiment_id']}?workflowType=machine_learning"
    except (OSError, ValueError, KeyError):
        return ""


def _ask(host: str, port: int, path: str) -> bytes:
    near = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://{near}:{port}{path}", timeout=5) as answer:
        return answer.read()
