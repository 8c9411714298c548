"""Part of label: core classes of documents, chosen by a language model or published, and their refinement."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from teleclass.data.dataset import Dataset
from teleclass.data.published import read_initial_core_classes, read_refined_core_classes
from teleclass.labelling.annotation import Annotations
from teleclass.labelling.core_classes import (
    AnnotationConfig,
    candidate_classes,
    core_class_requests,
    core_classes_of,
    deepest,
)
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.label_sets import LabelSets
from teleclass.labelling.paths import PathIndex, path_margins
from teleclass.labelling.prompting import read_prompt
from teleclass.labelling.similarity import blocks
from teleclass.runtime.console import log
from teleclass.runtime.llm import LanguageModel, LlmConfig

COLUMNS = ["document", "row", "candidates", "core_classes", "source"]


@dataclass
class CoreClasses:
    """Core classes of training documents that do not come from the label model.

    Attributes
    ----------
    chosen : class positions by document row.
    candidates : what each asked document was offered, by row.
    source : "llm", "published", or "" for none.
    way : which way was taken, in words.
    is_certain : refined core classes, which no posterior overrules.
    """

    chosen: dict[int, list[int]] = field(default_factory=dict)
    candidates: dict[int, list[int]] = field(default_factory=dict)
    source: str = ""
    way: str = "the label model's own core classes"
    is_certain: bool = False

    def evidence(self, n_documents: int, paths: PathIndex, annotation: AnnotationConfig) -> Annotations | None:
        if not self.chosen:
            return None
        odds = float("inf") if self.is_certain or not annotation.odds else annotation.odds
        return Annotations.of(self.chosen, n_documents, paths, odds)

    def table(self, data: Dataset) -> pd.DataFrame:
        """One row a document that was asked about or annotated; classes by their ids."""
        ids, classes = data.corpus.ids, data.taxonomy.ids
        rows = [
            [
                ids[row], row, [classes[node] for node in self.candidates.get(row, [])],
                [classes[node] for node in self.chosen.get(row, [])], self.source,
            ]
            for row in sorted(self.chosen.keys() | self.candidates.keys())
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=COLUMNS)


def find_core_classes(
    data: Dataset,
    embeddings: np.ndarray,
    model: LabelModel,
    paths: PathIndex,
    asked: LanguageModel | None,
    llm: LlmConfig,
    annotation: AnnotationConfig,
) -> CoreClasses:
    """Published core classes where the data folder has them, else the language model's, else none.

    Parameters
    ----------
    embeddings : (training documents, D).
    """
    if annotation.use_published:
        published = _published(data)
        if published is not None:
            return published
    if asked is None or not llm.does("annotate"):
        return CoreClasses()
    taxonomy, texts = data.taxonomy, data.corpus.texts
    margins, candidates = _candidates(embeddings, model, paths, taxonomy.levels, annotation.candidates)
    # The budget goes to the documents that the label model is least sure of; empty ones have nothing to be asked.
    order = [int(row) for row in np.argsort(margins, kind="stable") if texts[row]]
    order = order[: llm.max_documents] if llm.max_documents else order
    offered = [candidates[row].tolist() for row in order]
    prompt = read_prompt("annotate", Path(llm.prompts) if llm.prompts else None)
    requests = core_class_requests(
        [texts[row] for row in order], offered, taxonomy, prompt, llm.document_kind, annotation.max_words
    )
    answers = core_classes_of(asked.complete(requests, "asking for core classes"), offered, taxonomy)
    chosen = {row: core for row, core in zip(order, answers, strict=True) if core}
    unreadable = sum(core is None for core in answers)
    way = f"core classes by the language model for {len(chosen):,} of {len(order):,} documents asked about"
    if unreadable:
        way += f", {unreadable:,} without a usable answer"
    if asked.stopped:
        log.info("  the language model: %s; the other documents keep the label model's classes", asked.stopped)
    return CoreClasses(chosen, dict(zip(order, offered, strict=True)), "llm", way)


def gold_free_agreement(core: dict[int, list[int]], labels: LabelSets, data: Dataset) -> float:
    """Mean Example-F1 between core classes, with their ancestors, and the label model's own labels: no gold."""
    values = []
    for row, nodes in core.items():
        first, second = data.taxonomy.close(nodes), set(labels[row])
        values.append(2 * len(first & second) / (len(first) + len(second)))
    return float(np.mean(values)) if values else 1.0


def as_matrix(core: dict[int, list[int]], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Class sets by row as a matrix of zeros and ones."""
    rows = [row for row, nodes in core.items() for _ in nodes]
    columns = [node for nodes in core.values() for node in nodes]
    return sparse.csr_matrix((np.ones(len(rows), dtype=bool), (rows, columns)), shape=shape)


def check(data: Dataset, annotation: AnnotationConfig) -> None:
    """Read the published core classes before any work, for their faults."""
    if annotation.use_published:
        _published(data)


def _published(data: Dataset) -> CoreClasses | None:
    """Refined core classes of the data folder, else the initial ones, else None.

    With a limit of documents, those of others may stand in the file.
    """
    train = data.corpus.ids[data.corpus.train]
    row_of = {document: row for row, document in enumerate(train)}
    known = None if data.is_limited else train
    for read, name, is_certain in (
        (read_refined_core_classes, "refined_core_classes.json", True),
        (read_initial_core_classes, "init_core_classes.json", False),
    ):
        found = read(data.folder, data.taxonomy, known, data.mender)
        if found is not None:
            chosen = {
                row_of[document]: deepest(nodes, data.taxonomy)
                for document, nodes in found.items()
                if nodes and document in row_of
            }
            way = f"core classes of {len(chosen):,} documents read from {name}"
            return CoreClasses(dict(sorted(chosen.items())), {}, "published", way, is_certain)
    return None


def _candidates(
    embeddings: np.ndarray, model: LabelModel, paths: PathIndex, levels: np.ndarray, n_candidates: int
) -> tuple[np.ndarray, np.ndarray]:
    """Margins (N,) and candidate classes (N, at most ``n_candidates``) of the training documents."""
    margins, candidates = [], []
    for rows in blocks(len(embeddings), max(paths.n_paths, paths.n_classes)):
        posterior = model.posterior(embeddings[rows], paths)
        margins.append(path_margins(posterior))
        candidates.append(candidate_classes(paths.marginals(posterior), levels, n_candidates))
    return np.concatenate(margins), np.concatenate(candidates)
