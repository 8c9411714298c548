"""The console script: ``teleclass COMMAND``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from teleclass.errors import TeleclassError

COMMANDS = {
    "run": "the whole experiment, as run_experiment.py does it",
    "check": "what would go wrong with a data folder, or surprise, before a long run",
    "encode": "documents and classes to vectors, with no experiment around it",
    "evaluate": "labels from any file against gold",
    "predict": "labels for new texts by a trained model",
    "runs": "list, compare, end, export, import and log runs",
    "ui": "the MLflow UI on this project's runs",
}
"""What each module of :mod:`teleclass.commands` does."""


def usage() -> str:
    """The commands, a line each."""
    lines = [f"  {name:<9}{does}" for name, does in COMMANDS.items()]
    return "\n".join(
        [
            "usage: teleclass COMMAND [OPTION ...]\n",
            "Hierarchical text classification without labels.\n",
            "commands:",
            *lines,
            "\n'teleclass COMMAND --help' lists a command's options.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 2 for anything the user can mend."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("teleclass"))
        return 0
    if arguments[0] not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(arguments[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}"
        print(f"error: unknown command {arguments[0]!r}; {hint}", file=sys.stderr)
        return 2
    from teleclass.runtime.devices import set_up_torch

    set_up_torch()
    try:
        return importlib.import_module(f"teleclass.commands.{arguments[0]}").main(arguments[1:])
    except TeleclassError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as head, has enough; Python would complain once more at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
