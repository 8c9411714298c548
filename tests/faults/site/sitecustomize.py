"""Loaded at the start of every process that a fault test starts: breaks what the test says, where it says.

Nothing of this is in the program: the tests put this folder on ``PYTHONPATH``.
"""

import importlib.machinery
import os
import runpy
import sys

TAKEN_OUT = "TELECLASS_TEST_TAKEN_OUT"
"""``module:name=expression`` for each protection that is taken out, separated by semicolons."""

KILL = "TELECLASS_TEST_KILL"
"""``rank phase moment signal``: see :func:`arm`."""

NOTHING = "lambda *_, **__: None"


def take_out(module, name, expression):
    """Put something else in the place of a name of a module; dots lead into classes."""
    *path, last = name.split(".")
    owner = module
    for one in path:
        owner = getattr(owner, one)
    setattr(
        owner, last, eval(expression or NOTHING, runpy.run_path(os.path.join(os.path.dirname(__file__), "unsafe.py")))
    )


def fail(*_):
    raise ZeroDivisionError("of the test")


def hang_waiting(*_):
    """Have the next wait for other ranks last for ever."""
    import time
    from contextlib import contextmanager

    from teleclass.runtime.pulse import Activity

    waiting = Activity.waiting

    @contextmanager
    def for_ever(self):
        with waiting(self):
            yield
            time.sleep(1000)

    Activity.waiting = for_ever


def arm(execution, rank, phase, moment, number):
    """Have a rank send itself a signal in a phase.

    ``moment``: ``start``; ``before_N`` and ``after_N``, around the Nth file that the phase renames into place, its
    completion marker being the last; ``marker``, when all ranks are done and before the marker; or a number of seconds.
    Instead of a signal's number, ``hang`` has the rank's main thread sleep, ``hang_waiting`` has it sleep where it next
    waits for other ranks, once they have come, and ``raise`` has it fail.
    """
    import signal
    import threading
    import time

    if os.environ.get("RANK", "0") != rank:
        return
    state = {"phase": "", "files": 0}
    if number == "hang":
        signal.signal(signal.SIGUSR1, lambda *_: time.sleep(1000))
    elif number == "hang_waiting":
        signal.signal(signal.SIGUSR1, hang_waiting)
    elif number == "raise":
        signal.signal(signal.SIGUSR1, fail)
    run_phase, replace = execution._run_phase, os.replace

    def strike():
        os.kill(os.getpid(), int(number) if number.isdigit() else signal.SIGUSR1)

    def counted(*arguments, **options):
        if state["phase"] != phase or threading.current_thread() is not threading.main_thread():
            return replace(*arguments, **options)
        state["files"] += 1
        if moment == f"before_{state['files']}":
            strike()
        done = replace(*arguments, **options)
        if moment == f"after_{state['files']}":
            strike()
        return done

    def run(one, config, data, work, decision):
        state.update(phase=one.name, files=0)
        if one.name == phase:
            if moment == "start":
                strike()
            elif moment == "marker":
                complete = work.artifacts.complete

                def struck(*arguments):
                    strike()
                    return complete(*arguments)

                work.artifacts.complete = struck
            elif moment.replace(".", "").isdigit():
                timer = threading.Timer(float(moment), strike)
                timer.daemon = True
                timer.start()
        return run_phase(one, config, data, work, decision)

    os.replace = counted
    execution._run_phase = run


def actions():
    """What is to be done to a module once it is loaded, by its name."""
    found = {}
    for one in filter(None, os.environ.get(TAKEN_OUT, "").split(";")):
        place, _, expression = one.partition("=")
        module, _, name = place.partition(":")
        found.setdefault(module, []).append(lambda loaded, n=name, e=expression: take_out(loaded, n, e))
    if words := os.environ.get(KILL, "").split():
        found.setdefault("teleclass.execution", []).append(lambda loaded: arm(loaded, *words))
    return found


class Finder:
    """Lets modules load as they do, and acts on them then."""

    def __init__(self, todo):
        self.todo = todo

    def find_spec(self, name, path=None, target=None):
        if name not in self.todo:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            for act in self.todo[name]:
                act(module)

        spec.loader.exec_module = exec_module
        return spec


def install():
    todo = actions()
    if todo:
        sys.meta_path.insert(0, Finder(todo))


install()
