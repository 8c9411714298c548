"""Fitting the label model: which form of soft EM a corpus gets, decided without gold.

Two forms are known. The *corpus prior* form learns how common each path is. The *uniform prior* form removes the means
of documents and classes and takes every path as equally likely: better on corpora that cover their taxonomy, worse by
up to 22 points of Example-F1 on skewed ones, and where class texts say little about the documents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from teleclass.labelling.annotation import Annotations
from teleclass.labelling.em import log_likelihood, pass_over, soft_em
from teleclass.labelling.label_model import TEMPERATURE, LabelHead, LabelModel
from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import blocks, sample_rows, unit
from teleclass.runtime.console import progress

CHOICES = {"corpus": "corpus prior", "uniform": "uniform prior", "both": "both", "texts": "class texts"}

SKEWED_GAIN, EVEN_GAIN = 0.3, 0.15
"""Nats of held-out likelihood a document that a learnt prior is worth: above the first a corpus is skewed, below the
second even. Natural even corpora had .03 to .09, artificially skewed ones .1 to .8, natural skewed ones .3 to 1.6."""

WEAK_AGREEMENT = 0.78
"""Below this share of documents with the same best path, class texts and the uniform prior form contradict each other
and the prior is learnt. Seen: .84 to .88 where the uniform form was better, .43 to .70 where it was worse."""

WARMEST = 0.2
"""So far below WEAK_AGREEMENT the temperature is doubled: class texts that do not fit the corpus are not to be trusted
to .02 of a cosine. Abstracts .63 to .67, package descriptions .41 to .46."""

SHRINKAGE = 0.5
"""Shrinkage of rare classes for each nat that a learnt prior is worth. Where the prior is learnt, a fixed shrinkage of
.5 took the mean of six corpora and parts of them from .649 to .669; following the gain gives the same mean (.667 for
.666) and more on the three whole corpora (.517 for .509)."""

HELD_OUT_DOCUMENTS = 8_000

COMPARED_DOCUMENTS = 16_384
"""Documents at most whose best paths are compared between the forms: shares are then right to half a percent."""

DOCUMENTS_PER_PATH = 32
"""Soft EM is fitted on so many documents for each path at least, whatever ``labelling.fit_documents`` says."""


@dataclass(frozen=True)
class LabellingConfig:
    """How pseudo labels are made.

    Parameters
    ----------
    iterations
        rounds of soft EM.
    corpus_weight
        largest share of the corpus centroid in a class vector, from 0 to 1.
    prior
        "auto", or a form to be used whatever the corpus: "corpus", "uniform", "both", "texts" (no EM).
    sharpness
        spread of the posterior in standard deviations of path scores; 0 for .4, and .3 above 300 classes.
    fit_documents
        soft EM is fitted on at most so many documents, drawn at random, and those with core classes (32 for each
        path where that is more); 0 takes all.
    """

    iterations: int = 5
    corpus_weight: float = 0.35
    prior: str = "auto"
    sharpness: float = 0.0
    fit_documents: int = 65_536

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise ValueError("labelling.iterations must be 0 or more")
        if not 0 <= self.corpus_weight <= 1:
            raise ValueError("labelling.corpus_weight must lie between 0 and 1")
        if self.prior not in ("auto", *CHOICES):
            raise ValueError(f"labelling.prior must be auto, {', '.join(CHOICES)}")
        if self.sharpness < 0:
            raise ValueError("labelling.sharpness must be 0 or more")
        if self.fit_documents < 0:
            raise ValueError("labelling.fit_documents must be 0 or more")


@dataclass(frozen=True)
class Evidence:
    """What decides between the forms; no gold is read.

    Attributes
    ----------
    prior_gain : held-out log likelihood a document that learning the prior adds, in nats, class vectors untouched.
    corpus_gain : the same of soft EM altogether; where it is not positive, EM has learnt nothing that holds.
    texts_and_uniform, texts_and_corpus, corpus_and_uniform : shares of documents that two views (class texts, either
        form of EM) give the same best path.
    largest_root_share : largest share of documents whose best path, by class texts, starts at one root.
    """

    prior_gain: float
    corpus_gain: float
    texts_and_uniform: float
    texts_and_corpus: float
    corpus_and_uniform: float
    largest_root_share: float

    def metrics(self) -> dict[str, float]:
        return {
            "label/prior_gain": self.prior_gain,
            "label/held_out_gain": self.corpus_gain,
            "label/agreement_texts_uniform": self.texts_and_uniform,
            "label/agreement_texts_corpus": self.texts_and_corpus,
            "label/agreement_corpus_uniform": self.corpus_and_uniform,
            "label/largest_root_share": self.largest_root_share,
        }


@dataclass(frozen=True)
class _Fitter:
    """Soft EM with what all fits share."""

    embeddings: np.ndarray
    paths: PathIndex
    config: LabellingConfig
    rows: np.ndarray | None
    annotations: Annotations | None
    device: str

    def fit(self, start: LabelHead, learn_prior: bool, what: str, shrinkage: float = 0.0) -> LabelHead:
        config = self.config
        n_documents = len(self.embeddings) if self.rows is None else len(self.rows)
        with progress(total=config.iterations * n_documents, unit="documents", what=what) as bar:
            return soft_em(
                self.embeddings, start, self.paths, config.iterations, config.corpus_weight, learn_prior,
                shrinkage, self.annotations, self.rows, self.device, bar.update,
            )  # fmt: skip


def fit_label_model(
    embeddings: np.ndarray,
    class_vectors: np.ndarray,
    paths: PathIndex,
    config: LabellingConfig,
    annotations: Annotations | None = None,
    device: str = "cpu",
) -> tuple[LabelModel, Evidence]:
    """Fit class vectors to the corpus by the form of soft EM that suits it.

    Of a large corpus a random part is enough: its cost is bounded by ``config.fit_documents``.

    Parameters
    ----------
    embeddings : (N, D), unit rows.
    class_vectors : (C, D), unit rows, from class texts.
    annotations : core classes that are known of some documents.
    device : ``cpu`` or ``cuda:N``, for the passes of soft EM.
    """
    texts = LabelHead.from_texts(class_vectors, paths.n_paths)
    rows = _rows_to_fit(len(embeddings), paths, config, annotations)
    fitter = _Fitter(embeddings, paths, config, rows, annotations, device)
    gains = _held_out_gains(embeddings, texts, paths, config)
    shrinkage = SHRINKAGE * max(0.0, gains[0])
    corpus = fitter.fit(texts, True, "soft EM, corpus prior", shrinkage)
    sums = pass_over(embeddings, corpus, paths, annotations, rows, device)
    centred = replace(
        texts,
        class_vectors=unit(texts.class_vectors - texts.class_vectors.mean(axis=0)),
        document_shift=sums.balanced_mean(paths),
    )
    uniform = fitter.fit(centred, False, "soft EM, uniform prior")

    evidence = Evidence(*gains, *_agreements(embeddings, (texts, corpus, uniform), paths, rows))
    choice, reason = _choose(evidence, config)
    if choice == "corpus prior" and evidence.texts_and_uniform < WEAK_AGREEMENT:
        warmth = min(1.0, (WEAK_AGREEMENT - evidence.texts_and_uniform) / WARMEST)
        warm = replace(texts, temperature=TEMPERATURE * (1 + warmth))
        corpus = fitter.fit(warm, True, "soft EM, warmer", shrinkage)
    heads = {
        "corpus prior": (corpus,),
        "uniform prior": (uniform,),
        "both": (corpus, uniform),
        "class texts": (texts,),
    }[choice]
    sharpness = config.sharpness or (0.3 if paths.n_classes > 300 else 0.4)
    return LabelModel(heads, sharpness, choice, reason), evidence


def _rows_to_fit(
    n_documents: int, paths: PathIndex, config: LabellingConfig, annotations: Annotations | None
) -> np.ndarray | None:
    """The documents that soft EM learns from, ascending; None for all of them."""
    size = max(config.fit_documents, DOCUMENTS_PER_PATH * paths.n_paths)
    if not config.fit_documents or n_documents <= size:
        return None
    rows = sample_rows(n_documents, size)
    if annotations is not None:
        rows = np.union1d(rows, np.fromiter(annotations.core_classes, dtype=np.int64))
    return rows


def _choose(evidence: Evidence, config: LabellingConfig) -> tuple[str, str]:
    if config.prior != "auto":
        return CHOICES[config.prior], "asked for by labelling.prior"
    gain, agreement = evidence.prior_gain, evidence.texts_and_uniform
    if evidence.corpus_gain <= 0:
        gain_of_em = f"{evidence.corpus_gain:+.2f} nats a document"
        return "class texts", f"soft EM does not raise the held-out likelihood ({gain_of_em})"
    if agreement < WEAK_AGREEMENT:
        return "corpus prior", f"class texts and the uniform prior agree on {agreement:.0%} of the documents only"
    learnt = f"a learnt prior is worth {gain:.2f} nats a held-out document"
    if gain > SKEWED_GAIN:
        return "corpus prior", f"{learnt}: a skewed corpus"
    if gain < EVEN_GAIN:
        return "uniform prior", f"{learnt}, and class texts agree on {agreement:.0%} of the documents"
    return "both", f"{learnt}: neither skewed nor even"


def _held_out_gains(
    embeddings: np.ndarray, texts: LabelHead, paths: PathIndex, config: LabellingConfig
) -> tuple[float, float]:
    """Gain of held-out log likelihood by a learnt prior alone, and by soft EM altogether, in nats a document."""
    order = np.random.default_rng(0).permutation(len(embeddings))[:HELD_OUT_DOCUMENTS]
    if len(order) < 2:
        return 0.0, 0.0
    halves = [np.sort(order[0::2]), np.sort(order[1::2])]
    gains = np.zeros(2)
    for fitted, held_out in (halves, halves[::-1]):
        documents, others = np.asarray(embeddings[fitted]), np.asarray(embeddings[held_out])
        before = log_likelihood(others, texts, paths)
        for column, weight in enumerate((0.0, config.corpus_weight)):
            head = soft_em(documents, texts, paths, max(1, config.iterations), weight, learn_prior=True)
            gains[column] += (log_likelihood(others, head, paths) - before) / 2
    prior_gain, corpus_gain = gains.tolist()
    return prior_gain, corpus_gain


def _agreements(
    embeddings: np.ndarray,
    views: tuple[LabelHead, LabelHead, LabelHead],
    paths: PathIndex,
    chosen: np.ndarray | None,
) -> tuple[float, float, float, float]:
    """Shares of documents with the same best path (texts and uniform, texts and corpus, corpus and uniform), and the
    largest share of documents under one root by class texts."""
    same = np.zeros(3)
    by_root = np.zeros(paths.n_classes)
    chosen = np.arange(len(embeddings)) if chosen is None else chosen
    chosen = chosen[sample_rows(len(chosen), COMPARED_DOCUMENTS)]
    for block in blocks(len(chosen), paths.n_paths):
        documents = embeddings[chosen[block]]
        texts, corpus, uniform = (head.path_evidence(documents, paths).argmax(axis=1) for head in views)
        same += [(texts == uniform).sum(), (texts == corpus).sum(), (corpus == uniform).sum()]
        by_root += np.bincount(paths.roots[texts], minlength=paths.n_classes)
    n_documents = max(1, len(chosen))
    first, second, third = (same / n_documents).tolist()
    return first, second, third, float(by_root.max() / n_documents)
