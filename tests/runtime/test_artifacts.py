import hashlib
import json

import pytest

from teleclass.runtime.artifacts import Artifacts, Marker, file_digest, fingerprint


@pytest.fixture
def artifacts(tmp_path):
    return Artifacts(tmp_path / "out")


def leftovers(artifacts):
    return [path.name for path in artifacts.folder.rglob("*.partial")]


def test_a_file_appears_under_its_name_only_when_the_block_has_ended(artifacts):
    final = artifacts.path("submission")
    with artifacts.writing("submission") as partial:
        partial.write_text("id,labels\n")
        assert not final.exists()
    assert final.read_text() == "id,labels\n"
    assert leftovers(artifacts) == []


def test_a_new_file_takes_the_place_of_the_old_one(artifacts):
    for text in ("old", "new"):
        with artifacts.writing("metrics") as partial:
            partial.write_text(text)
    assert artifacts.path("metrics").read_text() == "new"


def test_a_new_folder_takes_the_place_of_the_old_one_with_none_of_its_files(artifacts):
    for name in ("old.bin", "new.bin"):
        with artifacts.writing("model") as partial:
            partial.mkdir()
            (partial / name).write_text("weights")
    assert [file.name for file in artifacts.path("model").iterdir()] == ["new.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_half_written(artifacts, error):
    with artifacts.writing("predictions") as partial:
        partial.write_text("old")

    def break_off():
        with artifacts.writing("predictions") as partial:
            partial.write_text("half of the n")
            raise error

    with pytest.raises(error):
        break_off()
    assert artifacts.path("predictions").read_text() == "old"
    assert leftovers(artifacts) == []


def test_an_exception_leaves_the_old_folder_and_nothing_half_written(artifacts):
    with artifacts.writing("model") as partial:
        partial.mkdir()
        (partial / "weights").write_text("old")

    def break_off():
        with artifacts.writing("model") as partial:
            partial.mkdir()
            (partial / "weights").write_text("new")
            raise ValueError("disk")

    with pytest.raises(ValueError, match="disk"):
        break_off()
    assert (artifacts.path("model") / "weights").read_text() == "old"
    assert leftovers(artifacts) == []


def test_a_block_that_wrote_nothing_is_an_error_and_leaves_the_old_folder(artifacts):
    with artifacts.writing("model") as partial:
        partial.mkdir()
        (partial / "weights").write_text("old")
    with pytest.raises(FileNotFoundError), artifacts.writing("model"):
        pass
    assert (artifacts.path("model") / "weights").read_text() == "old"


def test_what_a_killed_run_left_half_written_is_not_taken_over(artifacts):
    """A folder that a killed process left must not lend its files to the next one."""
    stale = artifacts.folder / ".model.partial"
    stale.mkdir(parents=True)
    (stale / "stale.bin").write_text("x")
    with artifacts.writing("model") as partial:
        partial.mkdir()
        (partial / "weights").write_text("new")
    assert [file.name for file in artifacts.path("model").iterdir()] == ["weights"]


def complete_phase(artifacts):
    with artifacts.writing("label_model") as partial:
        partial.write_bytes(b"12345")
    with artifacts.writing("model") as partial:
        (partial / "inner").mkdir(parents=True)
        (partial / "weights").write_bytes(b"123")
        (partial / "inner" / "more").write_bytes(b"4567")
    marker = Marker("abc", 1.5, {"loss": 0.25}, {"precision_used": "fp32"})
    artifacts.complete("train", marker, ("label_model", "model"))
    return marker


def test_a_marker_reads_back_with_the_sizes_of_the_outputs(artifacts):
    complete_phase(artifacts)
    # the folder's size is that of its two files: 3 + 4
    expected = Marker("abc", 1.5, {"loss": 0.25}, {"precision_used": "fp32"}, {"label_model": 5, "model": 7})
    assert artifacts.marker("train") == expected
    assert artifacts.marker("predict") is None
    assert leftovers(artifacts) == []


def test_a_forgotten_marker_is_gone_and_forgetting_twice_is_no_error(artifacts):
    complete_phase(artifacts)
    artifacts.forget("train")
    assert artifacts.marker("train") is None
    artifacts.forget("train")


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("label_model", remove),
        ("label_model", lambda path: path.write_bytes(b"1234")),
        ("label_model", lambda path: path.write_bytes(b"")),
        ("label_model", lambda path: path.write_bytes(b"123456")),
        ("model", lambda path: (path / "inner" / "more").unlink()),
        ("model", lambda path: (path / "weights").write_bytes(b"12")),
        ("model", lambda path: (path / "added").write_bytes(b"1")),
    ],
    ids=["missing", "cut", "emptied", "grown", "folder lacks a file", "folder's file cut", "folder has one more"],
)
def test_an_output_of_another_size_is_not_complete(artifacts, name, change):
    complete_phase(artifacts)
    marker = artifacts.marker("train")
    assert not artifacts.missing(marker, ("label_model", "model"))
    change(artifacts.path(name))
    assert artifacts.missing(marker, ("label_model", "model"))
    other = {"label_model": "model", "model": "label_model"}[name]
    assert not artifacts.missing(marker, (other,))


def test_an_output_that_the_marker_does_not_know_is_not_complete(artifacts):
    complete_phase(artifacts)
    with artifacts.writing("report") as partial:
        partial.write_text("<html>")
    assert artifacts.missing(artifacts.marker("train"), ("label_model", "report"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"fingerprint": "abc", "secon',
        b"null",
        b"[]",
        b'"abc"',
        b"{}",
        b'{"fingerprint": "abc"}',
        b'{"fingerprint": "abc", "seconds": 1.0, "colour": "red"}',
        b"\xff\xfe\x00",
    ],
)
def test_a_broken_marker_file_counts_as_none(artifacts, content):
    complete_phase(artifacts)
    file = artifacts.folder / "intermediate" / "completed" / "train.json"
    assert json.loads(file.read_text())["fingerprint"] == "abc"
    file.write_bytes(content)
    assert artifacts.marker("train") is None


BASE = {"documents": "d1", "epochs": 3, "rate": 0.1, "nested": {"depth": [1, 2]}}


@pytest.mark.parametrize(
    "change",
    [
        {"documents": "d2"},
        {"epochs": 4},
        {"epochs": 3.5},
        {"epochs": "3"},
        {"epochs": None},
        {"rate": 0.1000001},
        {"nested": {"depth": [2, 1]}},
        {"nested": {"depth": [1, 2], "more": None}},
        {"more": None},
    ],
)
def test_any_changed_part_changes_the_fingerprint(change):
    assert fingerprint(**(BASE | change)) != fingerprint(**BASE)


def test_the_order_of_keys_does_not_change_the_fingerprint():
    other = {"nested": {"depth": [1, 2]}, "rate": 0.1, "epochs": 3, "documents": "d1"}
    assert fingerprint(**other) == fingerprint(**BASE)


def test_the_digest_of_a_file_is_the_sha256_of_its_content(tmp_path):
    file = tmp_path / "weights"
    content = bytes(range(256)) * 9000  # 2.3 MB: more than one block
    file.write_bytes(content)
    assert file_digest(file) == hashlib.sha256(content).hexdigest()


def test_the_digest_is_the_same_without_hashlibs_own(tmp_path, monkeypatch):
    file = tmp_path / "weights"
    file.write_bytes(bytes(range(256)) * 9000)
    expected = file_digest(file)
    monkeypatch.delattr(hashlib, "file_digest", raising=False)
    assert file_digest(file) == expected


def make_folder(folder):
    (folder / "inner").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "inner" / "weights").write_text("1 2 3")
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "inner" / "weights").write_text("1 2 4"),
        lambda folder: (folder / "inner" / "weights").rename(folder / "inner" / "biases"),
        lambda folder: (folder / "inner" / "weights").rename(folder / "weights"),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "added").write_text(""),
    ],
    ids=["content", "renamed", "moved", "removed", "added"],
)
def test_the_digest_of_a_folder_tells_names_and_contents(tmp_path, change):
    one, two = make_folder(tmp_path / "one"), make_folder(tmp_path / "two")
    assert file_digest(one) == file_digest(two)
    change(two)
    assert file_digest(one) != file_digest(two)


def completed(folder, phase="encode", text="rows"):
    artifacts = Artifacts(folder)
    for name in ("document_embeddings", "model"):
        with artifacts.writing(name) as partial:
            if name == "model":
                partial.mkdir()
                (partial / "weights").write_text(text)
            else:
                partial.write_text(text)
    artifacts.complete(phase, Marker(text, 1.0, {"a": 1.0}), ("document_embeddings", "model"))
    return artifacts


def test_a_completed_phase_of_another_folder_is_borrowed_without_copying(tmp_path):
    lender, borrower = completed(tmp_path / "lender"), Artifacts(tmp_path / "borrower")
    assert borrower.borrow(lender, "encode", ("document_embeddings", "model"))
    assert borrower.marker("encode") == lender.marker("encode")
    for name in ("intermediate/document_embeddings.npy", "model/weights"):
        assert (tmp_path / "borrower" / name).samefile(tmp_path / "lender" / name)
    with borrower.writing("document_embeddings") as partial:
        partial.write_text("other rows")
    assert lender.path("document_embeddings").read_text() == "rows"


def test_what_was_borrowed_is_renewed_when_the_lender_did_it_again(tmp_path):
    lender, borrower = completed(tmp_path / "lender"), completed(tmp_path / "borrower", text="older rows")
    assert borrower.borrow(lender, "encode", ("document_embeddings", "model"))
    assert borrower.path("document_embeddings").read_text() == "rows"


def test_a_phase_that_is_not_complete_is_not_borrowed_and_nothing_is_lost(tmp_path):
    lender, borrower = completed(tmp_path / "lender"), completed(tmp_path / "borrower", text="own rows")
    lender.path("document_embeddings").write_text("half of the rows")
    assert not borrower.borrow(lender, "encode", ("document_embeddings", "model"))
    assert not borrower.borrow(Artifacts(tmp_path / "nobody"), "encode", ("document_embeddings", "model"))
    assert borrower.path("document_embeddings").read_text() == "own rows"
    assert borrower.marker("encode") is not None
