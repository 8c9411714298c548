"""The console script: ``teleclass run | encode | ui``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from teleclass.errors import TeleclassError

USAGE = """usage: teleclass COMMAND [OPTION ...]

Hierarchical text classification without labels.

commands:
  run      the whole experiment, as run_experiment.py does it
  encode   documents and classes to vectors, with no experiment around it
  ui       the MLflow UI on this project's runs

'teleclass COMMAND --help' lists a command's options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 2 for anything the user can mend."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("teleclass"))
        return 0
    commands: dict[str, Callable[[list[str]], int]] = {"run": _run, "encode": _encode, "ui": _ui}
    if arguments[0] not in commands:
        import difflib

        near = difflib.get_close_matches(arguments[0], commands, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(commands)}"
        print(f"error: unknown command {arguments[0]!r}; {hint}", file=sys.stderr)
        return 2
    try:
        return commands[arguments[0]](arguments[1:])
    except TeleclassError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    from teleclass.pipeline import main as run_experiment

    return run_experiment(arguments, "teleclass run")


def _encode(arguments: list[str]) -> int:
    import argparse
    import time
    from pathlib import Path

    from teleclass.runtime.console import duration, log, set_up_console

    parser = argparse.ArgumentParser(
        prog="teleclass encode",
        description="Write document_embeddings.npy and class_embeddings.npy into OUTPUT/intermediate.",
    )
    parser.add_argument("--data_dir", required=True, help="folder of taxonomy and documents")
    parser.add_argument("--output", required=True, help="folder that the vectors are written to")
    parser.add_argument("--devices", default="auto", help="for example cuda:0,cuda:1 or cpu,cpu")
    parser.add_argument("--model", default="bundled", help="'bundled', a folder, or a hub name")
    parser.add_argument("--max_tokens", type=int, default=0, help="texts are cut here; 0: the model's own limit")
    parser.add_argument("--tokens_per_batch", type=int, default=0, help="padded tokens a device computes at once")
    options = parser.parse_args(arguments)
    set_up_console()
    from teleclass.data.dataset import read_dataset
    from teleclass.model.embedding import EncoderConfig
    from teleclass.phases.encode import check, encode_folder

    encoder = EncoderConfig(options.model, options.devices, options.max_tokens, options.tokens_per_batch)
    data = read_dataset(Path(options.data_dir))
    check(data, encoder)
    started = time.perf_counter()
    summary = encode_folder(data, Path(options.output), encoder)
    log.info("encoded in %s: %s", duration(time.perf_counter() - started), summary)
    return 0


def _ui(arguments: list[str]) -> int:
    import argparse

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


if __name__ == "__main__":
    sys.exit(main())
