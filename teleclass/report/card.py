"""The model card: ``README.md`` in the model's folder, written from the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from teleclass.data.corpus import MAX_CHARACTERS
from teleclass.report.decisions import decisions
from teleclass.report.glossary import meaning
from teleclass.report.values import RunValues

WITH_GOLD = ("example_f1", "micro_f1", "macro_f1", "precision_at_1", "mrr", "path_consistency", "calibration_error")
WITHOUT_GOLD = ("agreement_label_model_classifier", "mean_confidence", "labels_per_document", "path_consistency")
WEAK_F1 = 0.5
"""Classes below it are named among the limits."""

MOST_NAMES = 10
BUNDLED = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class CardOptions:
    """What the card says of the configuration.

    Attributes
    ----------
    encoder, backbone : models as the configuration names them.
    classifier_weight : 1 where no label model files beside the classifier.
    max_tokens : of a document that the classifier reads.
    """

    encoder: str
    backbone: str
    classifier_weight: float
    max_tokens: int
    epochs: int
    seed: int


def model_card(run: RunValues, options: CardOptions) -> str:
    """The card in Markdown, with the front matter that the Hugging Face hub reads."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # Markdown, so nothing is escaped as HTML; names are by `_plain`
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    names = WITHOUT_GOLD if run.gold is None else WITH_GOLD
    corpus = run.data.corpus
    return environment.get_template("model_card.md.jinja").render(
        name=_plain(run.data.folder.resolve().name),
        base_models=sorted({_hub_name(one) for one in (options.encoder, options.backbone)} - {""}),
        summary=run.data.taxonomy.summary(),
        roots=", ".join(_plain(run.name(node)) for node in run.data.taxonomy.roots[:MOST_NAMES]),
        more_roots=max(0, len(run.data.taxonomy.roots) - MOST_NAMES),
        n_train=f"{corpus.n_train:,}",
        n_filed=f"{len(run.predicted):,}",
        n_gold=f"{len(run.gold.rows):,}" if run.gold is not None else "",
        metrics=[
            (name, run.metrics[f"test/{name}"], meaning(f"test/{name}"))
            for name in names
            if f"test/{name}" in run.metrics
        ],
        decisions=[(one.label, _plain(one.text)) for one in decisions(run.phases, run.repairs)],
        limits=_limits(run, options),
        options=options,
        encoder=_plain(_shown(options.encoder)),
        backbone=_plain(_shown(options.backbone)),
    )


def _limits(run: RunValues, options: CardOptions) -> list[str]:
    limits = [
        f"The classifier reads {options.max_tokens} tokens of a text, and nothing reads more than "
        f"{MAX_CHARACTERS:,} characters.",
        "Every text is given at least one path of the taxonomy, also one that belongs to none of its classes; its "
        "confidence is then low.",
    ]
    if run.gold is None:
        limits.append("There was no gold to test against: how right the labels are was not measured.")
    else:
        table = run.gold.by_class
        rows = zip(table["name"], table["f1"], table["gold_documents"], strict=True)
        weak = sorted((f1, str(name)) for name, f1, documents in rows if documents and f1 < WEAK_F1)
        if weak:
            named = ", ".join(f"{_plain(name.replace('_', ' '))} ({f1:.2f})" for f1, name in weak[:MOST_NAMES])
            more = f" and {len(weak) - MOST_NAMES:,} more" if len(weak) > MOST_NAMES else ""
            limits.append(f"{len(weak):,} classes have an F1 below {WEAK_F1}: {named}{more}.")
    unseen = int((run.pseudo_labelled + run.augmented == 0).sum())
    if unseen:
        limits.append(f"{unseen:,} classes had no training document at all.")
    return limits


def _hub_name(model: str) -> str:
    """A model's name on the hub; nothing for a folder, whose path says nothing elsewhere."""
    if model == "bundled":
        return BUNDLED
    return model if not Path(model).is_dir() and model.count("/") == 1 else ""


def _shown(model: str) -> str:
    return _hub_name(model) or Path(model).name


def _plain(text: str) -> str:
    """Text of users that changes no Markdown around it."""
    kept = " ".join(text.split())
    return "".join(f"\\{one}" if one in "\\`*_{}[]<>#|" else one for one in kept)
