"""A data folder, read whole: layout, taxonomy and corpus. Gold is not part of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from teleclass.data.corpus import Corpus, read_corpus
from teleclass.data.layout import (
    CORPUS_TERMS,
    INITIAL_CORE_CLASSES,
    LLM_TERMS,
    REFINED_CORE_CLASSES,
    Layout,
    find_layout,
)
from teleclass.data.mending import STRICT, Mender
from teleclass.data.taxonomy import Taxonomy, read_taxonomy


@dataclass(frozen=True)
class Dataset:
    """A taxonomy and its documents; ``is_limited`` where only the first documents of each file were taken.

    ``mender`` is what readers of further files in the folder are to be given.
    """

    folder: Path
    layout: Layout
    taxonomy: Taxonomy
    corpus: Corpus
    is_limited: bool = False
    mender: Mender = STRICT

    def input_files(self) -> dict[str, Path]:
        """The existing files that labels are made from, by their role (gold is none of them)."""
        roles = {
            "classes": self.layout.classes,
            "hierarchy": self.layout.hierarchy,
            "keywords": self.layout.keywords,
            "descriptions": self.layout.descriptions,
            "train_corpus": self.layout.train_corpus,
            "test_corpus": self.layout.test_corpus,
            "generated_documents": self.layout.generated_documents,
            "generated_labels": self.layout.generated_labels,
            "llm_terms": LLM_TERMS,
            "corpus_terms": CORPUS_TERMS,
            "initial_core_classes": INITIAL_CORE_CLASSES,
            "refined_core_classes": REFINED_CORE_CLASSES,
        }
        if self.layout.keywords == LLM_TERMS:
            del roles["llm_terms"]
        return {role: self.folder / name for role, name in roles.items() if (self.folder / name).exists()}


def read_dataset(data_dir: Path, max_documents: int | None = None, mender: Mender = STRICT) -> Dataset:
    """Read a data folder of either layout.

    Raises
    ------
    InputError : anything in it that cannot be used, with file and line.
    """
    layout = find_layout(data_dir)
    taxonomy = read_taxonomy(data_dir, layout, mender)
    corpus = read_corpus(data_dir, layout, max_documents, mender)
    return Dataset(data_dir, layout, taxonomy, corpus, is_limited=max_documents is not None, mender=mender)
