"""predict: every rank scores its share of the documents; scores are combined, decoded and written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import numpy as np

from teleclass.data.dataset import Dataset
from teleclass.errors import TeleclassError
from teleclass.labelling.combination import combine
from teleclass.labelling.decoding import Decoder, DecodingConfig
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import index_paths, path_margins
from teleclass.labelling.similarity import blocks
from teleclass.labelling.trust import best_paths
from teleclass.model.embedding import EncoderConfig
from teleclass.model.sources import find_model
from teleclass.model_folder import FilingSettings, save_filing
from teleclass.runtime.console import progress
from teleclass.runtime.devices import rank_device, share_cores
from teleclass.runtime.disk import allocate_rows
from teleclass.runtime.parquet import writing_rows
from teleclass.runtime.workplace import Workplace

OUTPUTS = ("class_scores", "predictions", "submission")
HEADER = "id,labels\n"
COLUMNS = {
    "document": "string", "classes": "int[]", "scores": "double[]", "margin": "double", "label_model_path": "int[]",
    "classifier_path": "int[]",
}  # fmt: skip
"""Columns of ``predictions.parquet``, see :func:`_decode_all`."""

CHUNK = 4096
"""Documents that are tokenised at once, while those before them are scored."""


@dataclass(frozen=True)
class PredictionConfig:
    """How documents are filed.

    Parameters
    ----------
    classifier_weight
        share of the classifier in the geometric mean with the label model; 0 to 1.
    max_tokens
        documents are cut here; 0 takes the training's limit.
    tokens_per_batch
        padded tokens a device computes at once; 0 chooses by the kind of device.
    """

    classifier_weight: float = 0.5
    max_tokens: int = 0
    tokens_per_batch: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.classifier_weight <= 1:
            raise ValueError("prediction.classifier_weight must lie between 0 and 1")


def run(
    work: Workplace,
    data: Dataset,
    prediction: PredictionConfig,
    decoding: DecodingConfig,
    max_tokens: int,
    encoder: EncoderConfig,
) -> dict[str, float]:
    """Write predictions, ``submission.csv``, class scores, and what the model needs to file new texts alike.

    Runs on every rank. ``max_tokens`` is the training's limit, for documents to be read as the classifier learnt to
    read them.
    """
    max_tokens = prediction.max_tokens or max_tokens
    ranks, artifacts = work.ranks, work.artifacts
    n_documents = data.corpus.predicted.stop - data.corpus.predicted.start
    started = time.perf_counter()
    shared = artifacts.folder / "intermediate" / ".scores.partial.npy"
    if ranks.is_first:
        allocate_rows(shared, n_documents, data.taxonomy.n_classes).flush()
    ranks.barrier()
    artifacts.need_shared(shared)
    _score_share(work, data, prediction, max_tokens)
    ranks.barrier()
    if not ranks.is_first:
        return {}
    speed = n_documents / (time.perf_counter() - started)
    with artifacts.writing("classifier_scores") as partial:
        shared.replace(partial)
    logits = np.load(artifacts.path("classifier_scores"), mmap_mode="r")
    is_scored = [np.isfinite(logits[rows]).all(axis=1) for rows in blocks(n_documents, data.taxonomy.n_classes)]
    unscored = np.flatnonzero(~np.concatenate(is_scored))
    if len(unscored):
        raise TeleclassError(
            f"{len(unscored)} documents have no finite score, the first is "
            f"{data.corpus.ids[data.corpus.predicted][int(unscored[0])]!r}; train again with --force train"
        )
    n_labels, agreed, multiplicity = _decode_all(work, data, logits, prediction, decoding)
    with artifacts.writing("filing") as partial:
        settings = FilingSettings(
            classifier_weight=prediction.classifier_weight, max_tokens=max_tokens, multiplicity=multiplicity,
            encoder_max_tokens=encoder.max_tokens, **asdict(decoding),
        )  # fmt: skip
        save_filing(partial, settings, artifacts.path("label_model"), find_model(encoder.model))
    work.notes.append(
        f"{n_documents:,} documents on {ranks.world_size} × {rank_device(0).split(':')[0]}, {speed:,.0f} documents/s, "
        f"{n_labels / n_documents:.2f} labels a document"
    )
    return {
        "documents_per_second/predict": speed,
        "test/labels_per_document": n_labels / n_documents,
        "test/agreement_label_model_classifier": agreed,
    }


def _score_share(work: Workplace, data: Dataset, prediction: PredictionConfig, max_tokens: int) -> None:
    """Write the classifier's logits of this rank's documents: every world_size-th in order of length."""
    from teleclass.model.batching import ahead
    from teleclass.model.scoring import Scorer

    ranks = work.ranks
    device = rank_device(ranks.local_rank)
    share_cores(device, ranks.local_world_size)
    scorer = Scorer(work.artifacts.path("model"), device, max_tokens, prediction.tokens_per_batch)
    texts = data.corpus.texts[data.corpus.predicted]
    order = np.argsort(-texts.characters, kind="stable")
    mine = order[ranks.rank :: ranks.world_size]
    if not len(mine):
        return
    chunks = [mine[start : start + CHUNK] for start in range(0, len(mine), CHUNK)]
    tokenized = ahead((chunk, scorer.tokenize(texts[chunk])) for chunk in chunks)
    shared = np.load(work.artifacts.folder / "intermediate" / ".scores.partial.npy", mmap_mode="r+")
    with progress(total=len(mine), unit="documents", what="predicting") as bar:
        for chunk, tokens in tokenized:
            for rows, logits in scorer.score_tokens(tokens):
                shared[chunk[rows]] = logits
                bar.update(len(rows))
    shared.flush()


def _decode_all(
    work: Workplace, data: Dataset, logits: np.ndarray, prediction: PredictionConfig, decoding: DecodingConfig
) -> tuple[int, float, float]:
    """Combine, decode and write; returns the number of labels given, how far the two views agree, and the
    decoder's multiplicity.

    ``predictions.parquet`` has a row a document: ``document``, ``classes`` and their ``scores``, ``margin`` (the
    document's confidence), and ``label_model_path`` and ``classifier_path``, what each alone finds most probable.
    """
    artifacts, taxonomy = work.artifacts, data.taxonomy
    ids = data.corpus.ids[data.corpus.predicted]
    embeddings = np.load(artifacts.path("document_embeddings"), mmap_mode="r")[data.corpus.predicted]
    paths = index_paths(taxonomy, decoding.stop_at_inner)
    label_model = LabelModel.load(artifacts.path("label_model"))
    decoder = Decoder(taxonomy, paths, decoding)

    def posterior_of(rows: slice | np.ndarray) -> np.ndarray:
        labelled = label_model.posterior(embeddings[rows], paths)
        return combine(labelled, logits[rows], paths, prediction.classifier_weight)

    multiplicity = decoder.multiplicity(posterior_of, len(ids))
    of_path = [[taxonomy.ids[node] for node in path] for path in taxonomy.paths(decoding.stop_at_inner)]
    n_labels = n_agreed = 0
    with ExitStack() as files:
        partials = {name: files.enter_context(artifacts.writing(name)) for name in OUTPUTS}
        class_scores = allocate_rows(partials["class_scores"], len(ids), taxonomy.n_classes)
        predictions = files.enter_context(writing_rows(partials["predictions"], COLUMNS))
        submission = files.enter_context(partials["submission"].open("w", encoding="utf-8", newline=""))
        submission.write(HEADER)
        n_columns = max(paths.n_paths, paths.n_classes)
        for rows in progress(list(blocks(len(ids), n_columns)), unit="blocks", what="decoding"):
            posterior = posterior_of(rows)
            marginals = paths.marginals(posterior)
            class_scores[rows] = marginals
            margins = path_margins(posterior)
            documents = list(ids[rows])
            if len(lost := np.flatnonzero(~np.isfinite(margins))):
                raise TeleclassError(
                    f"document {documents[int(lost[0])]!r} has no finite score of label model and classifier; "
                    "encode and train again with --force encode"
                )
            decoded = decoder.decode(posterior, multiplicity, marginals)
            classes = [[taxonomy.ids[node] for node in labels] for labels in decoded]
            labelled, classified = best_paths(label_model, embeddings[rows], logits[rows], paths)
            predictions.add(
                document=documents,
                classes=classes,
                scores=(marginals[decoded.rows, decoded.classes].astype(np.float64), decoded.starts),
                margin=margins.astype(np.float64),
                label_model_path=[of_path[path] for path in labelled],
                classifier_path=[of_path[path] for path in classified],
            )
            submission.write(submission_lines(documents, classes))
            n_labels += len(decoded.classes)
            n_agreed += int((labelled == classified).sum())
        class_scores.flush()
    return n_labels, n_agreed / len(ids) if len(ids) else 1.0, multiplicity


def submission_lines(documents: Sequence[str], classes: Sequence[Sequence[int]]) -> str:
    """Lines of the submission, a document each: its id, and in quotes its class ids ascending."""
    lines = []
    for document, labels in zip(documents, classes, strict=True):
        if any(character in document for character in ',"\r'):
            document = '"' + document.replace('"', '""') + '"'
        lines.append(f'{document},"{",".join(str(number) for number in sorted(labels))}"\n')
    return "".join(lines)
