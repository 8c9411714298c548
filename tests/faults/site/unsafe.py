"""What a program does that thinks of no fault: twins put it in the place of what protects.

Nothing of teleclass is imported before it is needed: this is read in every process that a twin starts.
"""

import json
import os
import shutil
import signal
from contextlib import contextmanager, nullcontext  # noqa: F401


def publish_at_once(self, partial, name, facts, files):
    """The last checkpoint goes, then the new one comes."""
    from teleclass.runtime import checkpoints

    for other in self._all():
        shutil.rmtree(other)
    content = {"facts": facts, "files": files}
    checkpoints._write(partial / checkpoints.MANIFEST, content | {"sha256": checkpoints.fingerprint(**content)})
    os.rename(partial, self.folder / name)
    checkpoints._write(self.folder / checkpoints.POINTER, {"checkpoint": name})


def read_facts(folder):
    """What stands in a manifest lies in the folder."""
    return json.loads((folder / "manifest.json").read_text("utf-8"))["facts"]


def attempt_or_fail(self, action):
    """An error of one rank is its own."""
    answers = self.ranks.gather((action(), ""))
    return [one for one, _ in answers], ""


@contextmanager
def signals_end_at_once():
    """As in a program that has no handlers."""
    from teleclass.runtime.processes import StopRequest

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    yield StopRequest()


@contextmanager
def signals_break_off():
    """A signal is obeyed at once, in the middle of a step."""
    from teleclass.runtime.processes import StopRequest

    yield StopRequest()


def read_marker(self, phase):
    """A file that is there is whole."""
    from teleclass.runtime.artifacts import Marker

    return Marker(**json.loads(self._marker_file(phase).read_text("utf-8")))


def read_json(path):
    """A file that is there holds what it should."""
    return json.loads(path.read_text("utf-8"))


def read_lines(path, with_empty=False):
    """Every file is UTF-8."""
    with open(path, encoding="utf-8") as stream:
        yield from enumerate(stream, start=1)


class NoLock:
    """Nobody else is there."""

    def __init__(self, path):
        pass

    def acquire(self, timeout):
        pass

    def release(self):
        pass
