"""The experiment, in which something happens at a moment of writing a checkpoint: what the tests of it start.

``STRIKE`` is ``rank save moment deed``: in a rank, while it writes its so-manieth checkpoint, before its so-manieth
change to a file or folder, do the deed: ``SIGKILL``, ``SIGTERM``, ``group`` (SIGTERM to the launcher and all ranks) or
``full`` (there is no space left for any file of this save). Each rank counts its moments of that save in a file
``moments_RANK``.
"""

import errno
import os
import re
import signal
import sys
from pathlib import Path

MADE = re.compile(r"/checkpoints/\.checkpoint_\d+\.partial$")
seen = {"save": 0, "moment": 0, "partial": ""}


def strike(deed, path):
    if deed == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    if deed == "group":
        os.killpg(os.getpgrp(), signal.SIGTERM)
    else:
        os.kill(os.getpid(), getattr(signal, deed))


def watch(event, arguments):
    changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree") or (
        event == "open" and arguments[1] != "r"  # to write, to take a digest, or to bring to the disk
    )
    path = str(arguments[0]) if changes and arguments else ""
    if "/checkpoints/" not in path or ".universal" in path:
        return
    partial = re.search(r"/checkpoints/\.checkpoint_\d+\.partial", path)
    if partial and partial[0] != seen["partial"]:
        seen.update(save=seen["save"] + 1, moment=0, partial=partial[0])
    seen["moment"] += 1
    own = os.environ.get("RANK", "0")
    rank, save, moment, deed = os.environ["STRIKE"].split()
    if seen["save"] != int(save):
        return
    Path(f"moments_{own}").write_text(str(seen["moment"]))
    if rank == own and (seen["moment"] == int(moment) or (deed == "full" and seen["moment"] > int(moment))):
        strike(deed, path)


def main():
    if "PATCHED_FP16" in os.environ:
        from deepspeed.accelerator import get_accelerator

        from teleclass.phases import train

        get_accelerator().__class__.is_fp16_supported = lambda self: True
        train.supports_of = lambda device: lambda precision: True
    if "STRIKE" in os.environ:
        sys.addaudithook(watch)
    from teleclass.pipeline import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
