"""``teleclass ui``: the MLflow UI on this project's runs."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess


def main(arguments: list[str]) -> int:
    from teleclass.runtime.tracking import tracking_uri, ui_command

    parser = argparse.ArgumentParser(prog="teleclass ui", description="Start the MLflow UI on this project's runs.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    options = parser.parse_args(arguments)
    command, environment = ui_command(options.port, options.host)
    print(f"MLflow UI on {tracking_uri()}: http://{options.host}:{options.port} (Ctrl-C ends it)", flush=True)
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _end_group(server)


def _end_group(server: subprocess.Popen) -> None:
    """End a server and the workers that it started; they get ten seconds to do so themselves."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return
