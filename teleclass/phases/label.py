"""label: pseudo labels with confidences, from embeddings, the taxonomy, and what a language model may add."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from teleclass.data.dataset import Dataset
from teleclass.data.taxonomy import Taxonomy
from teleclass.errors import TeleclassError
from teleclass.labelling.affinity import EnrichmentConfig
from teleclass.labelling.annotation import Annotations
from teleclass.labelling.core_classes import AnnotationConfig
from teleclass.labelling.decoding import Decoder, DecodingConfig
from teleclass.labelling.key_terms import ClassTerms
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.label_sets import LabelSets
from teleclass.labelling.paths import PathIndex, index_paths, path_margins
from teleclass.labelling.phrases import PhraseConfig, mentioned_classes
from teleclass.labelling.refinement import RefinementConfig, refine_core_classes
from teleclass.labelling.selection import LabellingConfig, fit_label_model
from teleclass.labelling.similarity import blocks
from teleclass.labelling.trust import entropy
from teleclass.model.embedding import EncoderConfig
from teleclass.phases import label_annotations, label_terms
from teleclass.phases.label_annotations import CoreClasses, as_matrix, find_core_classes, gold_free_agreement
from teleclass.phases.label_terms import class_vectors_of, mined_terms, written_terms
from teleclass.runtime.console import log, progress
from teleclass.runtime.devices import rank_device
from teleclass.runtime.llm import LlmConfig, check_llm
from teleclass.runtime.memory import keep_freed_memory
from teleclass.runtime.parquet import writing_rows
from teleclass.runtime.workplace import Workplace

LABEL_COLUMNS = {
    "document": "string", "class": "int", "confidence": "float", "margin": "float", "row": "int",
    "class_position": "int",
}  # fmt: skip
"""Columns of ``pseudo_labels.parquet``, see :func:`write_labels`."""


@dataclass(frozen=True)
class LabelOptions:
    """The sections of the configuration that this phase is handed, together."""

    labelling: LabellingConfig
    decoding: DecodingConfig
    enrichment: EnrichmentConfig
    phrases: PhraseConfig
    annotation: AnnotationConfig
    refinement: RefinementConfig
    llm: LlmConfig
    encoder: EncoderConfig


@dataclass
class Labels:
    """Decoded labels of the training documents.

    Attributes
    ----------
    sets : the classes of each document, closed over one path, most probable first.
    confidence : as long as ``sets.classes``, the probability that the class lies on the document's path.
    margin : (N,), the documents' own confidence.
    """

    sets: LabelSets
    confidence: np.ndarray
    margin: np.ndarray


def run(work: Workplace, data: Dataset, options: LabelOptions) -> dict[str, float]:
    """Fit the label model to all documents and write the training documents' pseudo labels."""
    keep_freed_memory()
    artifacts, corpus, taxonomy = work.artifacts, data.corpus, data.taxonomy
    scratch = artifacts.folder / "intermediate"
    embeddings = np.load(artifacts.path("document_embeddings"), mmap_mode="r")
    training = embeddings[corpus.train]
    texts_alone = np.load(artifacts.path("class_embeddings"))
    paths = index_paths(taxonomy, options.decoding.stop_at_inner)
    asked = work.language_model(options.llm)

    terms = written_terms(data, asked, options.llm, options.enrichment)
    vectors = class_vectors_of(data, terms.written, options.encoder, scratch, texts_alone)
    device = rank_device(work.ranks.local_rank)
    model, evidence = fit_label_model(embeddings, vectors, paths, options.labelling, device=device)
    core = find_core_classes(data, training, model, paths, asked, options.llm, options.annotation)
    annotations = core.evidence(len(embeddings), paths, options.annotation)
    agreement = 1.0
    if annotations is not None:
        own = decode_labels(taxonomy, training, model, paths, options.decoding)
        agreement = gold_free_agreement(core.chosen, own.sets, data)
        model, evidence = fit_label_model(embeddings, vectors, paths, options.labelling, annotations, device)
    labels = decode_labels(taxonomy, training, model, paths, options.decoding, annotations)

    if options.enrichment.corpus_terms or options.enrichment.terms_in_texts:
        memberships = sparse.csr_matrix(
            (np.ones(len(labels.sets.classes), dtype=np.float32), labels.sets.classes, labels.sets.starts),
            shape=(corpus.n_train, taxonomy.n_classes),
        )
        terms.mined, way = mined_terms(data, memberships, options.encoder, scratch, options.phrases, options.enrichment)
        terms.way = "; ".join(filter(None, (terms.way, way)))
    if options.enrichment.terms_in_texts and terms.mined:
        more = {node: terms.of(node) for node in terms.mined}
        vectors = class_vectors_of(data, more, options.encoder, scratch, vectors)
        model, evidence = fit_label_model(embeddings, vectors, paths, options.labelling, annotations, device)
        labels = decode_labels(taxonomy, training, model, paths, options.decoding, annotations)
    labels, refined = _refined(data, training, vectors, model, paths, labels, core, agreement, terms, options)

    _refuse_lost(data, labels)
    with artifacts.writing("label_model") as partial:
        model.save(partial)
    with artifacts.writing("class_terms") as partial:
        partial.write_text(terms.to_json(taxonomy), "utf-8")
    with artifacts.writing("annotations") as partial:
        core.table(data).to_parquet(partial, index=False)
    with artifacts.writing("pseudo_labels") as partial:
        write_labels(partial, data, labels)

    n_train, n_labels = corpus.n_train, len(labels.sets.classes)
    count = np.bincount(labels.sets.classes, minlength=taxonomy.n_classes)
    decisions = {
        "label_choice": model.choice, "label_reason": model.reason, "label_terms": terms.way,
        "label_core_classes": core.way, "label_refinement": refined,
    }  # fmt: skip
    work.tags.update(decisions)
    for name in ("label_terms", "label_core_classes", "label_refinement"):
        log.info("  %s: %s", name.removeprefix("label_").replace("_", " "), decisions[name])
    work.notes.append(f"{model.choice} ({model.reason}); {n_labels / n_train:.2f} labels a document")
    metrics = evidence.metrics() | {
        "label/coverage": int((np.diff(labels.sets.starts) > 0).sum()) / n_train,
        "label/classes_with_documents": float((count > 0).sum()),
        "label/mean_confidence": float(labels.confidence.astype(np.float32).mean()) if n_labels else float("nan"),
        "label/labels_per_document": n_labels / n_train,
        "label/entropy": entropy(model, training, paths),
    }
    if core.chosen:
        metrics["label/agreement_core_classes"] = agreement
    if asked is not None:
        for task in ("enrich", "annotate"):
            metrics |= asked.usage.metrics(task)
        work.is_reusable = not asked.usage.has_failed("enrich", "annotate")
        asked.close()
    return metrics


def check(data: Dataset, options: LabelOptions) -> None:
    """Find the faults of published files and prompts, and what the language model lacks, before any work."""
    label_terms.check(data, options.llm)
    label_annotations.check(data, options.annotation)
    check_llm(options.llm)


def decode_labels(
    taxonomy: Taxonomy,
    embeddings: np.ndarray,
    model: LabelModel,
    paths: PathIndex,
    decoding: DecodingConfig,
    annotations: Annotations | None = None,
) -> Labels:
    """Labels of the first ``len(embeddings)`` documents.

    An annotated document gets, for each of its core classes, the best set among the paths through that class, unless
    all of them together stay less probable than the rest: then the label model's own set.
    """
    decoder = Decoder(taxonomy, paths, decoding)
    multiplicity = decoder.multiplicity(lambda rows: model.posterior(embeddings[rows], paths), len(embeddings))
    margin = np.zeros(len(embeddings), dtype=np.float32)
    sets: list[LabelSets] = []
    confidence: list[np.ndarray] = []
    n_columns = max(paths.n_paths, paths.n_classes)
    for rows in progress(list(blocks(len(embeddings), n_columns)), unit="blocks", what="decoding"):
        posterior = model.posterior(embeddings[rows], paths)
        if annotations is not None:
            posterior = annotations.sharpen(posterior, rows)
        margin[rows] = path_margins(posterior)
        marginals = paths.marginals(posterior)
        decoded = decoder.decode(posterior, multiplicity, marginals)
        if annotations is not None:
            lists = list(decoded)
            for row in range(rows.start, rows.stop):
                if row in annotations.core_classes:
                    offset = row - rows.start
                    lists[offset] = annotations.decode(row, posterior[offset], decoder, paths) or lists[offset]
            decoded = LabelSets.of(lists)
        sets.append(decoded)
        confidence.append(marginals[decoded.rows, decoded.classes])
    return Labels(LabelSets.joined(sets), np.concatenate([*confidence, np.zeros(0, np.float32)]), margin)


def _refuse_lost(data: Dataset, labels: Labels) -> None:
    """Stop at documents whose labels have no finite score.

    Raises
    ------
    TeleclassError : names the first of them.
    """
    lost = np.union1d(
        np.flatnonzero(~np.isfinite(labels.margin)), np.unique(labels.sets.rows[~np.isfinite(labels.confidence)])
    )
    if len(lost):
        raise TeleclassError(
            f"{len(lost):,} documents have pseudo labels without a finite score, the first is "
            f"{data.corpus.ids[int(lost[0])]!r}; encode again with --force encode"
        )


def write_labels(path: Path, data: Dataset, labels: Labels) -> None:
    """Write one row a (document, class): the document's id and row, the class's id and position, and the confidence.

    ``confidence`` is the probability that the class lies on the document's path; ``margin`` is the document's own
    confidence, the gap between its best and second-best path. Rows come in the order of the documents.
    """
    starts, ids = labels.sets.starts, np.array(data.taxonomy.ids)
    with writing_rows(path, LABEL_COLUMNS) as rows:
        for block in blocks(len(labels.sets)):
            row_of = np.repeat(np.arange(block.start, block.stop), np.diff(starts[block.start : block.stop + 1]))
            entries = slice(starts[block.start], starts[block.stop])
            class_of = labels.sets.classes[entries]
            names = list(data.corpus.ids[block])
            rows.add(
                document=[names[row] for row in (row_of - block.start).tolist()],
                class_position=class_of,
                confidence=labels.confidence[entries],
                margin=labels.margin[row_of],
                row=row_of,
                **{"class": ids[class_of]},
            )


def _refined(
    data: Dataset,
    embeddings: np.ndarray,
    class_vectors: np.ndarray,
    model: LabelModel,
    paths: PathIndex,
    labels: Labels,
    core: CoreClasses,
    agreement: float,
    terms: ClassTerms,
    options: LabelOptions,
) -> tuple[Labels, str]:
    """Labels after core class refinement, where it is asked for or helps, and in words what was done.

    By itself it is done where core classes are taken for certain (``annotation.odds 0``) and the label model
    contradicts them. Weighed as evidence they need none: with seven in ten of them wrong, on written Amazon reviews,
    Example-F1 was .53 taken for certain, .73 refined, and .92 as evidence.
    """
    config = options.refinement
    start = core.chosen or dict(enumerate(labels.sets))
    if core.is_certain and config.mode != "on":
        return labels, "not refined: the core classes are"
    if config.mode == "off":
        return labels, "not refined: refinement.mode is off"
    if config.mode == "auto":
        said = f"the core classes agree with the label model to {agreement:.2f}"
        if not core.chosen:
            return labels, "not refined: the start is the label model's own"
        if options.annotation.odds:
            return labels, f"not refined: {said}, and are weighed as evidence"
        if agreement >= config.weak_below:
            return labels, f"not refined: {said}, not less than {config.weak_below}"
    taxonomy, texts = data.taxonomy, data.corpus.texts[data.corpus.train]
    shape = (len(embeddings), taxonomy.n_classes)
    words = {node: [taxonomy.names[node].replace("_", " "), *terms.of(node)] for node in range(taxonomy.n_classes)}
    mentions = mentioned_classes(texts, words, taxonomy.n_classes)
    refined = refine_core_classes(embeddings, as_matrix(start, shape), mentions, class_vectors, config)
    decoder = Decoder(taxonomy, paths, options.decoding)
    least = float(refined.confidence[refined.kept].min()) if refined.kept.any() else 1.0
    sets: list[list[int]] = []
    confidence: list[np.ndarray] = []
    for rows in blocks(len(embeddings), paths.n_classes):
        marginals = paths.marginals(model.posterior(embeddings[rows], paths))
        for offset in range(len(marginals)):
            row = rows.start + offset
            nodes = refined.core[row].indices.tolist()
            sets.append(decoder.close(nodes, marginals[offset]) if nodes else labels.sets[row])
            confidence.append(marginals[offset, sets[-1]])
    margin = np.clip(refined.confidence / (2 * max(least, 1e-9)), 0, 1).astype(np.float32)
    done = Labels(LabelSets.of(sets), np.concatenate(confidence), margin)
    why = "asked for" if config.mode == "on" else f"{said} only"
    return done, f"refined ({why}); {int(refined.kept.sum()):,} of {len(embeddings):,} documents confident"
