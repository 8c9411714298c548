"""Gold labels: read to report, by the evaluate phase and by nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from teleclass.data.layout import COURSE, Layout
from teleclass.data.mending import STRICT, Mender
from teleclass.data.taxonomy import Taxonomy
from teleclass.data.textfile import class_id, pairs
from teleclass.errors import InputError


def gold_file(data_dir: Path, layout: Layout, split: str) -> Path:
    """Where the gold of ``split`` ("train" or "test") would lie."""
    return data_dir / split / (f"{split}_labels.txt" if layout == COURSE else "doc2labels.txt")


def read_gold(path: Path, taxonomy: Taxonomy, mender: Mender = STRICT) -> dict[str, set[int]]:
    """Gold label sets by document id, as class positions; documents without a label are left out.

    Parameters
    ----------
    mender : leaves out faulty lines, where it mends.

    Raises
    ------
    InputError : a broken line, an unknown class, or a document that stands twice.
    """
    return dict(gold_documents(path, taxonomy, mender))


def gold_documents(path: Path, taxonomy: Taxonomy, mender: Mender = STRICT) -> Iterator[tuple[str, set[int]]]:
    """The same one after the other, in the order of the file."""
    line_of: dict[str, int] = {}
    leaving_out = mender.leaving_out()
    for line, document, labels in pairs(path, expected="id<TAB>class,class", mender=mender):
        found: set[int] = set()
        with leaving_out:
            if document in line_of:
                raise InputError(f"document id {document!r} stands already in line {line_of[document]}", path, line)
            line_of[document] = line
            classes = set()
            for piece in filter(None, (piece.strip() for piece in labels.split(","))):
                number = class_id(piece, path, line)
                if number not in taxonomy.position:
                    raise InputError(f"class {number} is not in the class file", path, line)
                classes.add(taxonomy.position[number])
            found = classes
        if found:
            yield document, found
