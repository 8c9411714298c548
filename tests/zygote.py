"""A process with all libraries loaded that forks experiments: each starts in a second instead of ten.

Reads a JSON object a line: ``{"cwd", "arguments", "environment", "stdout", "stderr"}`` forks one, which sees that
environment alone, and answers with its process id; ``{"wait"}`` answers with the exit status of that process.
"""

import faulthandler
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "faults" / "site"))
import sitecustomize


def experiment(order):
    os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    os.dup2(os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 2)
    if order["stdout"] == order["stderr"]:
        os.dup2(2, 1)
    else:
        os.dup2(os.open(order["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    faulthandler.register(signal.SIGUSR2, file=2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for module, acts in sitecustomize.actions().items():
        for act in acts:
            act(sys.modules[module])
    from teleclass.pipeline import main

    return main(order["arguments"])


def load():
    """Import what an experiment imports, and start no thread."""
    from teleclass.runtime.console import set_up_console

    set_up_console()
    import mlflow.tracking  # noqa: F401
    import pandas  # noqa: F401
    import sklearn  # noqa: F401
    from transformers import AutoTokenizer, BertModel  # noqa: F401

    import teleclass.pipeline  # noqa: F401
    from teleclass.runtime.distributed import import_deepspeed

    import_deepspeed()


def main():
    load()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = experiment(order)
            except SystemExit as stop:
                status = stop.code
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status if isinstance(status, int) else 1)
        print(pid, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    main()
