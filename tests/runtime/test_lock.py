import json
import signal
import subprocess
import sys
import time

import pytest

from teleclass.errors import LockedError, TeleclassError
from teleclass.runtime.lock import HOLDER, LOCK, only_writer

HOLDS = """
import sys, time
from pathlib import Path
from teleclass.runtime.lock import only_writer

with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.twin("filelock:FileLock=NoLock")
def test_a_second_writer_hears_at_once_who_holds_the_folder(tmp_path, holder):
    started = time.monotonic()
    words = f"is being written to by process {holder.pid} of .* on .*, since 20"
    with pytest.raises(LockedError, match=words) as told, only_writer(tmp_path):
        pass
    assert time.monotonic() - started < 1
    assert "\n" not in str(told.value)
    assert "should" not in str(told.value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_dead_process_holds_nobody_up(tmp_path, holder, number):
    holder.send_signal(number)
    holder.wait()
    with only_writer(tmp_path):
        assert json.loads((tmp_path / HOLDER).read_text())["pid"] != holder.pid


def test_a_holder_on_another_machine_is_told_with_what_to_remove(tmp_path, holder):
    (tmp_path / HOLDER).write_text(json.dumps({"host": "far", "pid": 7, "user": "me", "since": "yesterday"}))
    with pytest.raises(LockedError, match=f"should far have died, remove {tmp_path / LOCK}"), only_writer(tmp_path):
        pass


def test_a_holder_whose_words_are_cut_anywhere_still_holds(tmp_path, holder):
    words = (tmp_path / HOLDER).read_text()
    for length in range(len(words)):
        (tmp_path / HOLDER).write_text(words[:length])
        with pytest.raises(LockedError, match="by another process; wait"), only_writer(tmp_path):
            pass


def test_one_after_the_other_is_no_conflict_and_leaves_no_word(tmp_path):
    for _ in range(2):
        with only_writer(tmp_path / "made"):
            pass
    assert not (tmp_path / "made" / HOLDER).exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    words = r"cannot be written \(.*\); give another --output_dir"
    with pytest.raises(TeleclassError, match=words), only_writer(tmp_path / "file" / "out"):
        pass
