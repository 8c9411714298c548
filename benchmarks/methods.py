"""Every method that is measured, by the name that its row bears."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks import ablations, baselines
from benchmarks.evaluation import Filed, LeftOut, evaluate
from benchmarks.experiments import DataSet
from benchmarks.zero_shot import setfit_zero_shot
from teleclass.errors import TeleclassError
from teleclass.model.sources import find_model


@dataclass(frozen=True)
class Method:
    """A way to file documents.

    Attributes
    ----------
    measure : metrics by name, from a data set and a seed; raises LeftOut where the method says nothing there.
    draws : whether anything in it is drawn by chance, so that seeds differ.
    """

    measure: Callable[[DataSet, int], dict[str, float]]
    draws: bool = False


def _files(file: Callable[[DataSet], Filed]) -> Method:
    """A method without chance, by what it gives the filed documents."""
    return Method(lambda data, seed: evaluate(file(data), data.gold, data.data))


def _teleclass(data: DataSet, seed: int) -> dict[str, float]:
    metrics = json.loads(data.experiment(seed).path("metrics").read_text("utf-8"))
    return {name.removeprefix("test/"): value for name, value in metrics.items() if name.startswith("test/")}


def _classifier_alone(data: DataSet, seed: int) -> dict[str, float]:
    logits = np.load(data.experiment(seed).path("classifier_scores"), mmap_mode="r")
    # the combination at weight 1 is the classifier's own posterior
    return evaluate(baselines.decode_logits(logits, data.paths, data.decoder), data.gold, data.data)


def _with_prior(prior: str) -> Method:
    def file(data: DataSet) -> Filed:
        model = ablations.fit_with_prior(
            prior, data.embeddings(), data.class_vectors(), data.paths, data.config.labelling
        )
        return ablations.label_model_alone(model, data.filed_embeddings(), data.paths, data.decoder)

    return _files(file)


def _no_enrichment(data: DataSet) -> Filed:
    taxonomy = data.data.taxonomy
    if not taxonomy.keywords and not taxonomy.descriptions:
        raise LeftOut("the classes have no keywords")
    vectors = ablations.encode_class_views(ablations.names_only(taxonomy), data.config.encoder)
    labelling = data.config.labelling
    model = ablations.fit_with_prior(labelling.prior, data.embeddings(), vectors, data.paths, labelling)
    return ablations.label_model_alone(model, data.filed_embeddings(), data.paths, data.decoder)


def _setfit(data: DataSet, seed: int) -> dict[str, float]:
    corpus, model = data.data.corpus, find_model(data.config.encoder.model)
    filed = setfit_zero_shot(corpus.texts[corpus.predicted], data.data.taxonomy, model, seed)
    return evaluate(filed, data.gold, data.data)


METHODS: dict[str, Method] = {
    "teleclass": Method(_teleclass, draws=True),
    "pseudo labels alone": _files(
        lambda d: ablations.label_model_alone(d.label_model, d.filed_embeddings(), d.paths, d.decoder)
    ),
    "classifier alone": Method(_classifier_alone, draws=True),
    "no EM": _with_prior("texts"),
    "corpus prior": _with_prior("corpus"),
    "uniform prior": _with_prior("uniform"),
    "no enrichment": _files(_no_enrichment),
    "flat decoding": _files(lambda d: ablations.flat_decoding(d.label_model, d.filed_embeddings())),
    "best path": _files(lambda d: ablations.best_path(d.label_model, d.filed_embeddings(), d.paths)),
    "tree search": _files(lambda d: baselines.tree_search(d.cosines, d.data.taxonomy)),
    "cosine, top 3": _files(lambda d: baselines.cosine_top_3(d.cosines)),
    "cosine, threshold": _files(lambda d: baselines.cosine_threshold(d.cosines)),
    "best leaf and its ancestors": _files(lambda d: baselines.best_leaf(d.cosines, d.data.taxonomy)),
    "SetFit zero-shot": Method(_setfit, draws=True),
    "supervised on the same embeddings": _files(
        lambda d: baselines.supervised(d.embeddings(), d.training_gold, d.data, d.config.decoding)
    ),
}
"""In the order of the table. The experiment comes first: its embeddings and its label model serve the others."""


def parse_methods(text: str) -> list[str]:
    """Method names from a list with commas; a name may itself hold one. All of them for an empty text.

    Raises
    ------
    TeleclassError : an unknown name.
    """
    found, rest = [], text.strip()
    while rest:
        for name in sorted(METHODS, key=len, reverse=True):
            after = rest[len(name) :].lstrip()
            if rest.lower().startswith(name.lower()) and after[:1] in ("", ","):
                found.append(name)
                rest = after[1:].lstrip()
                break
        else:
            unknown = rest.split(",")[0].strip()
            near = difflib.get_close_matches(unknown, METHODS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(map(repr, METHODS))}"
            raise TeleclassError(f"methods: {unknown!r} is not known; {hint}")
    return [name for name in METHODS if name in found or not found]
