import subprocess
import sys

from teleclass.runtime.tracking.owner import is_gone, owner_tags

OF_ANOTHER = "from teleclass.runtime.tracking.owner import owner_tags; print(owner_tags())"


def test_this_process_is_there():
    assert not is_gone(owner_tags())


def test_a_process_that_ended_is_gone():
    printed = subprocess.run([sys.executable, "-c", OF_ANOTHER], capture_output=True, text=True, check=True).stdout
    tags = eval(printed)
    assert tags["host"] == owner_tags()["host"]
    assert is_gone(tags)


def test_a_later_process_with_the_same_number_is_another():
    assert is_gone(owner_tags() | {"process_start": "an earlier boot/123"})


def test_a_process_that_ended_and_was_not_waited_for_is_gone():
    process = subprocess.Popen([sys.executable, "-c", OF_ANOTHER], stdout=subprocess.PIPE, text=True)
    tags = eval(process.stdout.read())
    process.stdout.close()
    while subprocess.run(["ps", "-o", "stat=", str(process.pid)], capture_output=True, text=True).stdout[:1] != "Z":
        pass
    assert is_gone(tags)
    process.wait()


def test_nothing_is_said_of_other_machines_and_of_runs_without_these_tags():
    assert not is_gone(owner_tags() | {"host": "another", "process_start": "0/0"})
    assert not is_gone({})
    assert not is_gone({"host": owner_tags()["host"]})
