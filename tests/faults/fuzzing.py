"""Mutations of every file that users give, and what is to come of reading them: a typed error, or what was read."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from conftest import write_course_layout, write_reference_layout
from hypothesis import strategies as st

from teleclass.config import ExperimentConfig, parse_arguments
from teleclass.data.documents import DocumentFile
from teleclass.data.layout import CORPUS_TERMS, INITIAL_CORE_CLASSES, LLM_TERMS, REFINED_CORE_CLASSES
from teleclass.data.submission import read_submission
from teleclass.data.taxonomy import Taxonomy
from teleclass.errors import TeleclassError
from teleclass.execution import read_and_check
from teleclass.labelling.class_text import class_views
from teleclass.pipeline import PHASES
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.ds_config import DEFAULT_FILE, read_ds_config, resolve_ds_config

PUBLISHED = {
    LLM_TERMS: "fruit:apple,pear\nbread:loaf\n",
    CORPUS_TERMS: "ladders:rung,step\n",
    INITIAL_CORE_CLASSES: json.dumps({"a": {"core classes": [11], "raw": "fruit"}, "b": {"core classes": ["12"]}}),
    REFINED_CORE_CLASSES: json.dumps({"a": ["11"], "b": ["12"], "c": []}),
    "train/generated_docs.txt": "0\tripe fruit\n1\ta loaf\n",
    "train/generated_doc2label.json": json.dumps(
        {"0": {"core_classes": 11, "with ancestors": [10, 11]}, "1": {"core_classes": ["12"]}}
    ),
    "class_descriptions.txt": "fruit\tgrows on trees\nbread_knives\tcut bread\n",
}
WHOLE_FILE = (
    "holds no", "cycle", "root-to-leaf paths", "does not exist", "is not valid JSON", "is JSON that",
    "expected one JSON",
    "is not valid UTF-8; save", "document ", "the data folder holds",
)  # fmt: skip
"""Beginnings and parts of problems that are of no line: of the whole file, or of an entry that is named."""

WORDS = [
    "١", "1_000", "+3", "00", "-1", "0", "10", "11", "30", "9" * 30, "1e3", "", " ", "NaN", "null", "a", "\t", ":", ",",
    "../../x", "=1+1", "\u2028", "\ufeff", "\x85", "\r", "\0", "\x1b[2J", "food", "bread_knives", "{}", "[]", '"',
]  # fmt: skip
BYTES = [b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x82", b"\0", b"\r", b"\n", b"\r\n", b"\t", b"\n\n", b"\xc3"]


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """A file after one to three mutations, of bytes and of lines."""
    for _ in range(draw(st.integers(1, 3))):
        content = draw(st.sampled_from([of_bytes, of_bytes, of_lines, of_lines, of_lines]))(draw, content)
    return content


def of_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 8)))
    middle = draw(st.one_of(st.sampled_from(BYTES), st.binary(max_size=4), st.just(b"")))
    if draw(st.integers(0, 9)) == 0:  # cut short
        return content[:start]
    return content[:start] + middle + content[end:]


def of_lines(draw: st.DrawFn, content: bytes) -> bytes:
    lines = content.split(b"\n")
    at = draw(st.integers(0, len(lines) - 1))
    kind = draw(st.integers(0, 4))
    word = draw(st.sampled_from(WORDS)).encode()
    if kind == 0:
        lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
    elif kind == 1:
        del lines[at]
    else:
        separator = next((one for one in (b"\t", b":", b",") if one in lines[at]), b" ")
        fields = lines[at].split(separator)
        fields[draw(st.integers(0, len(fields) - 1))] = word
        if kind == 2:
            fields.append(word)
        lines[at] = separator.join(fields)
    return b"\n".join(lines)


VALUES = [None, True, False, 0, -1, 1.5, 10**30, float("nan"), "auto", "fp16", "", [], {}, [1], {"enabled": True}]


@st.composite
def other_values(draw: st.DrawFn, content: bytes) -> bytes:
    """A JSON file in which one to three values, at any depth, are others, or have another key."""
    whole = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        inner, key = whole, draw(st.sampled_from(sorted(whole))) if whole else ""
        while isinstance(inner.get(key), dict) and inner[key] and draw(st.integers(0, 3)):
            inner, key = inner[key], draw(st.sampled_from(sorted(inner[key])))
        if draw(st.integers(0, 5)) == 0:
            inner[draw(st.sampled_from(["auto", "zero_optimisation", "stage", "enabled", ""]))] = inner.pop(key, None)
        else:
            inner[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))  # it may be changed in its turn
    return json.dumps(whole).encode()


class Folder:
    """A data folder of which one file at a time is mutated."""

    def __init__(self, folder: Path, write: Callable[[Path], Path]):
        self.folder = write(folder)
        for name, text in PUBLISHED.items():
            if not (folder / name).exists():
                (folder / name).write_text(text, "utf-8")
        self.files = sorted(file for file in folder.rglob("*") if file.is_file())

    @contextmanager
    def having(self, file: Path, content: bytes):
        before = file.read_bytes()
        file.write_bytes(content)
        try:
            yield
        finally:
            file.write_bytes(before)


def folders(where: Path) -> list[Folder]:
    return [Folder(where / "course", write_course_layout), Folder(where / "reference", write_reference_layout)]


def read_folder(folder: Path, repair: bool) -> list:
    """Everything that the experiment reads of a data folder; returns what was mended."""
    config = ExperimentConfig(data_dir=str(folder), preset="offline", repair=repair)
    data = read_and_check(PHASES, config, Ranks())
    assert data.taxonomy.summary()
    assert len(class_views(data.taxonomy)) == data.taxonomy.n_classes
    assert data.taxonomy.paths(stop_at_inner=True)
    assert data.corpus.summary()
    for text in (*data.corpus.texts, *data.corpus.ids, *data.taxonomy.names):
        text.encode()  # no half characters
    return data.mender.repairs


def check_folder(folder: Folder, file: Path, content: bytes, seen: Counter) -> None:
    """Read a folder strictly and with repairs."""
    with folder.having(file, content):
        strict = outcome(lambda: read_folder(folder.folder, repair=False), folder.folder)
        mended = outcome(lambda: read_folder(folder.folder, repair=True), folder.folder)
    if strict is None:
        assert mended is None
    elif strict.repair:
        assert mended is None or str(mended) != str(strict), "told to be mended, and was not"
    if mended is not None:
        assert not mended.repair
        seen["stopped in spite of --repair"] += 1
    seen["read" if strict is None else "refused"] += 1
    seen["mended"] += strict is not None and mended is None


def outcome(read: Callable[[], object], place: Path) -> TeleclassError | None:
    """The error of a reading, which names a file, and its line where it has one; None where all was read."""
    try:
        read()
    except TeleclassError as error:
        text = str(error)
        assert str(place) in text, text
        assert text.isprintable(), text
        assert len(text) < 2000
        if getattr(error, "line", None) is None and text.partition(": ")[0].endswith(".txt"):
            assert any(part in text for part in WHOLE_FILE), text
        return error
    return None


def check_ds_config(file: Path, content: bytes, seen: Counter) -> None:
    file.write_bytes(content)

    def read() -> None:
        found = read_ds_config(file)
        resolve_ds_config(found, world_size=2, total_steps=10, supports=lambda _: True, path=file)

    seen["refused" if outcome(read, file) else "read"] += 1


def check_options(file: Path, content: bytes, seen: Counter) -> None:
    file.write_bytes(content)
    said = ""
    try:
        parse_arguments(["--config", str(file)])
    except TeleclassError as error:
        said = str(error)
    assert "\n" not in said
    seen["refused" if said else "read"] += 1


def check_documents(file: Path, content: bytes, seen: Counter) -> None:
    file.write_bytes(content)

    def read() -> None:
        if file.name == "submission.csv":
            read_submission(file, Taxonomy([10, 11], ["food", "fruit"], [(0, 1)]))
            return
        for identity, text in DocumentFile(file, id_column="id" if file.suffix in (".csv", ".jsonl") else ""):
            (identity + text).encode()

    seen["refused" if outcome(read, file) else "read"] += 1


def document_files() -> dict[str, bytes]:
    """A file of each kind that ``teleclass predict`` reads, and one that ``teleclass evaluate`` does."""
    import io

    import pyarrow
    from pyarrow import parquet

    table = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["a ripe pear", None], "id": ["a", "b"]}), table)
    return {
        "new.txt": b"a ripe pear\n\na ladder\n",
        "new.tsv": b"a\ta ripe pear\nb\ta ladder\n",
        "new.csv": b'id,text\na,"a ripe, sweet pear"\nb,a ladder\n',
        "new.jsonl": b'{"id": "a", "text": "a ripe pear"}\n{"id": 7, "text": "\\ud83d\\ude00"}\n',
        "new.parquet": table.getvalue(),
        "submission.csv": b'id,labels\na,"10,11"\nb,"10"\n"c,d","11"\n',
    }


OPTIONS = (
    "data_dir: data\nseed: 3\npreset: offline\ntraining:\n  epochs: 2\n  max_tokens: 64\ndecoding:\n"
    "  labels_per_document: 2.5\nllm:\n  max_cost: 1\n  input_price: 0.5\nencoder:\n  model: bundled\n"
)
DS_CONFIG = DEFAULT_FILE.read_bytes()
