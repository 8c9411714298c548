"""Documents written for a class (by a language model), read from the files published with TELEClass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teleclass.data.corpus import MAX_CHARACTERS
from teleclass.data.jsonfile import class_positions, read_by_document
from teleclass.data.layout import Layout
from teleclass.data.mending import ENTRY, STRICT, Mender
from teleclass.data.taxonomy import Taxonomy
from teleclass.data.textfile import pairs
from teleclass.errors import InputError


@dataclass(frozen=True)
class GeneratedDocument:
    """A written text, the class it was written for, and the classes on the path it was written for."""

    id: str
    text: str
    core_class: int
    path: frozenset[int]


def read_generated(
    data_dir: Path, layout: Layout, taxonomy: Taxonomy, mender: Mender = STRICT
) -> list[GeneratedDocument]:
    """Read generated documents and their labels; an empty list where the data folder has none.

    Parameters
    ----------
    mender : leaves out faulty lines and entries, where it mends.

    Raises
    ------
    InputError : one of the two files without the other, a broken one, or an unknown class.
    """
    texts_file, labels_file = data_dir / layout.generated_documents, data_dir / layout.generated_labels
    if not texts_file.exists() and not labels_file.exists():
        return []
    labels = _read_labels(labels_file, taxonomy, mender)
    documents = []
    line_of: dict[str, int] = {}
    leaving_out = mender.leaving_out()
    for line, number, text in pairs(texts_file, mender=mender):
        with leaving_out:
            if number not in labels:
                raise InputError(f"document {number!r} has no entry in {labels_file.name}", texts_file, line)
            if number in line_of:
                raise InputError(f"document id {number!r} stands already in line {line_of[number]}", texts_file, line)
            line_of[number] = line
            if text:
                core, path = labels[number]
                documents.append(GeneratedDocument(number, text[:MAX_CHARACTERS], core, path))
    return documents


def _read_labels(path: Path, taxonomy: Taxonomy, mender: Mender) -> dict[str, tuple[int, frozenset[int]]]:
    if not path.exists():
        raise InputError("the file does not exist; the generated documents need it", path)

    def positions(numbers: Any, document: str) -> list[int]:
        return class_positions(numbers, document, path, taxonomy)

    labels = {}
    leaving_out = mender.leaving_out(ENTRY)
    for document, entry in read_by_document(path).items():
        with leaving_out:
            if not isinstance(entry, dict) or "core_classes" not in entry:
                raise InputError(f"document {document!r} has no 'core_classes'", path)
            core = entry["core_classes"]
            cores = positions(core if isinstance(core, list) else [core], document)
            if len(cores) != 1:
                raise InputError(f"document {document!r} names {len(cores)} core classes, expected one", path)
            path_classes = positions(entry.get("with ancestors", []), document) or taxonomy.first_path(cores[0])
            labels[str(document)] = cores[0], frozenset([*cores, *path_classes])
    return labels
