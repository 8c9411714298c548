import numpy as np
import pytest

from teleclass.model.shards import ShardJournal, job_of


@pytest.fixture
def journal(tmp_path):
    """Of a job of which two chunks are written."""
    journal = ShardJournal(tmp_path / ".embeddings.partial.npy")
    journal.open("job", 4, 2)
    rows = np.load(journal.rows, mmap_mode="r+")
    rows[:2] = 1
    for number in (0, 12):
        journal.mark(number)
    return journal


def test_the_same_job_goes_on_with_what_is_written(journal):
    again = ShardJournal(journal.rows)
    again.open("job", 4, 2)
    assert again.done() == {0, 12}
    assert (np.load(journal.rows)[:2] == 1).all()


@pytest.mark.parametrize("change", [("another job", 4, 2), ("job", 5, 2), ("job", 4, 3)])
def test_another_job_starts_anew(journal, change):
    journal.open(*change)
    assert journal.done() == set()
    assert np.isnan(np.load(journal.rows)).all()


def test_a_job_that_is_cut_anywhere_starts_anew(journal):
    words = journal._job_file.read_text()
    for length in range(len(words)):
        journal.open("job", 4, 2)
        journal.mark(1)
        journal._job_file.write_text(words[:length])
        journal.open("job", 4, 2)
        assert journal.done() == set()


def test_rows_that_are_cut_anywhere_start_anew(journal):
    content = journal.rows.read_bytes()
    for length in range(len(content)):
        journal.open("job", 4, 2)
        journal.mark(1)
        journal.rows.write_bytes(content[:length])
        journal.open("job", 4, 2)
        assert journal.done() == set()
        assert journal.rows.stat().st_size == len(content)


def test_nothing_is_left_of_a_finished_job(journal):
    journal.remove()
    assert list(journal.rows.parent.iterdir()) == []
    journal.remove()


def test_a_job_is_told_by_its_texts_their_order_their_ends_and_its_settings():
    jobs = [
        job_of(["a", "b"], "model"), job_of(["b", "a"], "model"), job_of(["ab", ""], "model"), job_of(["ab"], "model"),
        job_of(["a", "b"], "other"), job_of(["a", "b"], "model", 128), job_of(["a", "\ud800"], "model"),
    ]  # fmt: skip
    assert len(set(jobs)) == len(jobs)
    assert job_of(["a", "b"], "model") == jobs[0]
