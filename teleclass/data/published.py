"""The intermediate results published with TELEClass, as they lie in the training folder of either layout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from teleclass.data.jsonfile import class_positions, read_by_document
from teleclass.data.layout import CORPUS_TERMS, INITIAL_CORE_CLASSES, LLM_TERMS, REFINED_CORE_CLASSES
from teleclass.data.mending import ENTRY, STRICT, Mender
from teleclass.data.taxonomy import Taxonomy, read_keywords
from teleclass.errors import InputError


def read_llm_terms(data_dir: Path, taxonomy: Taxonomy, mender: Mender = STRICT) -> dict[int, list[str]] | None:
    """Key terms that a language model wrote, by class position; ``None`` where the folder has no such file.

    Raises
    ------
    InputError : a broken line, an unknown class, or one that stands twice.
    """
    return _terms(data_dir / LLM_TERMS, taxonomy, mender)


def read_corpus_terms(data_dir: Path, taxonomy: Taxonomy, mender: Mender = STRICT) -> dict[int, list[str]] | None:
    """Key terms mined from the corpus, by class position; else as :func:`read_llm_terms`."""
    return _terms(data_dir / CORPUS_TERMS, taxonomy, mender)


def read_initial_core_classes(
    data_dir: Path, taxonomy: Taxonomy, document_ids: Iterable[str] | None = None, mender: Mender = STRICT
) -> dict[str, list[int]] | None:
    """Core classes that a language model chose, as class positions by document id.

    Parameters
    ----------
    document_ids : every id that may stand there; ``None`` takes any, for a folder without its corpus.
    mender : leaves out faulty entries, where it mends.

    Returns
    -------
    an empty list where nothing is known of a document; ``None`` where the folder has no such file.

    Raises
    ------
    InputError : a broken file, an unknown class or an unknown document.
    """
    return _core_classes(data_dir / INITIAL_CORE_CLASSES, taxonomy, document_ids, mender)


def read_refined_core_classes(
    data_dir: Path, taxonomy: Taxonomy, document_ids: Iterable[str] | None = None, mender: Mender = STRICT
) -> dict[str, list[int]] | None:
    """Core classes after refinement, of the documents that were kept; else as :func:`read_initial_core_classes`."""
    return _core_classes(data_dir / REFINED_CORE_CLASSES, taxonomy, document_ids, mender)


def _terms(path: Path, taxonomy: Taxonomy, mender: Mender) -> dict[int, list[str]] | None:
    return read_keywords(path, taxonomy.names, mender) if path.exists() else None


def _core_classes(
    path: Path, taxonomy: Taxonomy, document_ids: Iterable[str] | None, mender: Mender
) -> dict[str, list[int]] | None:
    if not path.exists():
        return None
    known = None if document_ids is None else frozenset(document_ids)
    core: dict[str, list[int]] = {}
    leaving_out = mender.leaving_out(ENTRY)
    for document, entry in read_by_document(path).items():
        with leaving_out:
            if known is not None and document not in known:
                raise InputError(f"document {document!r} is not in the training corpus", path)
            classes = class_positions(_listed(entry, document, path), document, path, taxonomy)
            core[document] = list(dict.fromkeys(classes))
    return core


def _listed(entry: Any, document: str, path: Path) -> Any:
    """The core classes of an entry: before refinement they stand beside the model's answer and the ancestors."""
    if not isinstance(entry, dict):
        return entry
    if "core classes" not in entry:
        raise InputError(f"document {document!r} has no 'core classes'", path)
    return entry["core classes"]
