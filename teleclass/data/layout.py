"""Where the files lie in a data folder: the course layout and the reference layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from teleclass.errors import InputError

LLM_TERMS = "train/llm_enrichment.txt"
CORPUS_TERMS = "train/enrichment.txt"
INITIAL_CORE_CLASSES = "train/init_core_classes.json"
REFINED_CORE_CLASSES = "train/refined_core_classes.json"
"""Intermediate results as published with TELEClass, at the same place in both layouts."""

SAMPLE_DIR = Path(__file__).parent / "sample"


@dataclass(frozen=True)
class Layout:
    """File names of one layout, relative to the data folder."""

    name: str
    classes: str
    hierarchy: str
    keywords: str
    train_corpus: str
    test_corpus: str
    descriptions: str = "class_descriptions.txt"
    generated_documents: str = "train/generated_docs.txt"
    generated_labels: str = "train/generated_doc2label.json"


COURSE = Layout(
    name="course",
    classes="classes.txt",
    hierarchy="class_hierarchy.txt",
    keywords="class_related_keywords.txt",
    train_corpus="train/train_corpus.txt",
    test_corpus="test/test_corpus.txt",
)
REFERENCE = Layout(
    name="reference",
    classes="labels.txt",
    hierarchy="label_hierarchy.txt",
    keywords="train/llm_enrichment.txt",
    train_corpus="train/corpus.txt",
    test_corpus="test/corpus.txt",
)
LAYOUTS = (COURSE, REFERENCE)


def find_layout(data_dir: Path) -> Layout:
    """Tell which layout a folder has, by the name of its class file.

    Raises
    ------
    InputError : the folder is missing, or holds neither layout's class file, or holds both.
    """
    if not data_dir.is_dir():
        raise InputError("the data folder does not exist; give another with --data_dir", data_dir)
    found = [layout for layout in LAYOUTS if (data_dir / layout.classes).is_file()]
    if not found:
        names = " or ".join(layout.classes for layout in LAYOUTS)
        raise InputError(f"the data folder holds no {names}; see 'Your own data' in the README", data_dir)
    if len(found) > 1:
        names = " and ".join(layout.classes for layout in found)
        raise InputError(f"the data folder holds both {names}; keep one of them", data_dir)
    return found[0]
