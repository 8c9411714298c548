"""Documents: one table of the training and test texts, in the order of the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from teleclass.data.layout import Layout
from teleclass.data.mending import STRICT, Mender
from teleclass.data.textfile import pairs
from teleclass.data.texts import TextBuilder, Texts
from teleclass.errors import InputError

MAX_CHARACTERS = 20_000
"""Texts are cut here before tokenising: no model of 512 tokens sees more, and a tokenizer takes 12 s for 10 MB."""


@dataclass(frozen=True)
class Corpus:
    """Training documents followed by test documents.

    ``ids`` are the file's own, as strings; an id may stand once in each of the two files. Texts stay in the files;
    lists of either are taken too, and kept in memory.
    """

    ids: Texts
    texts: Texts
    n_train: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", Texts.of(self.ids))
        object.__setattr__(self, "texts", Texts.of(self.texts))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_test(self) -> int:
        return len(self) - self.n_train

    @property
    def n_empty(self) -> int:
        return int((self.texts.characters == 0).sum())

    @property
    def n_cut(self) -> int:
        """Texts that reach :data:`MAX_CHARACTERS`."""
        return int((self.texts.characters >= MAX_CHARACTERS).sum())

    @property
    def train(self) -> slice:
        return slice(0, self.n_train)

    @property
    def predicted(self) -> slice:
        """The documents to be filed: the test documents, or all of them when there is no test corpus."""
        return slice(self.n_train, len(self)) if self.n_test else slice(0, len(self))

    def summary(self) -> str:
        """One line of counts for the terminal."""
        empty = f", {self.n_empty} of them empty" if self.n_empty else ""
        if not self.n_test:
            return f"{len(self):,} documents{empty}, no test corpus: these are filed"
        return f"{self.n_train:,} training and {self.n_test:,} test documents{empty}"


def read_corpus(data_dir: Path, layout: Layout, max_documents: int | None = None, mender: Mender = STRICT) -> Corpus:
    """Read both corpora; the test corpus may be absent.

    Parameters
    ----------
    max_documents : the first so many of each file alone.
    mender : leaves out lines without an id and all but the first of one id, where it mends.

    Raises
    ------
    InputError : a missing or broken file, or a document id that stands twice in a file.
    """
    train_ids, train_texts = read_documents(data_dir / layout.train_corpus, max_documents, mender)
    test_file = data_dir / layout.test_corpus
    if not test_file.exists():
        return Corpus(train_ids, train_texts, len(train_ids))
    test_ids, test_texts = read_documents(test_file, max_documents, mender)
    return Corpus(train_ids + test_ids, train_texts + test_texts, len(train_ids))


def read_documents(path: Path, limit: int | None = None, mender: Mender = STRICT) -> tuple[Texts, Texts]:
    """Ids and texts of one file, the first ``limit`` of them; else as :func:`read_corpus`."""
    ids, texts = TextBuilder(), TextBuilder(path)
    line_of: dict[str, int] = {}
    leaving_out = mender.leaving_out()
    for line, number, text in pairs(path, mender=mender):
        with leaving_out:
            if not number:
                raise InputError("the document has no id before the tab", path, line)
            if number in line_of:
                raise InputError(f"document id {number!r} stands already in line {line_of[number]}", path, line)
            line_of[number] = line
            if limit is None or len(ids) < limit:
                ids.add(number)
                texts.add(text[:MAX_CHARACTERS], line)
    if not len(ids):
        raise InputError("holds no document", path)
    return ids.texts(), texts.texts()
