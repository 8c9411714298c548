"""The report of a run, section by section."""

from __future__ import annotations

from teleclass.report.about_gold import gold_sections
from teleclass.report.about_run import cost_section, data_section, decisions_section, labels_section, training_section
from teleclass.report.about_trust import metrics_section, surest_section, trust_section
from teleclass.report.page import Report
from teleclass.report.values import RunValues

TILES = (
    ("Example-F1", "test/example_f1"),
    ("precision at 1", "test/precision_at_1"),
    ("MRR", "test/mrr"),
    ("macro-F1", "test/macro_f1"),
    ("coverage", "label/coverage"),
    ("confidence", "test/mean_confidence"),
    ("label model and classifier agree", "test/agreement_label_model_classifier"),
    ("path consistency", "test/path_consistency"),
)


def assemble(run: RunValues) -> Report:
    """Everything the page shows."""
    name = run.data.folder.resolve().name
    against = f"{len(run.gold.rows):,} of them with gold" if run.gold is not None else "without gold"
    says = (
        f"{run.data.taxonomy.n_classes:,} classes, {run.data.corpus.n_train:,} training documents, "
        f"{len(run.predicted):,} filed documents, {against}."
    )
    return Report(
        title=f"teleclass: {name}",
        says=says,
        tiles=[(title, f"{run.metrics[key]:.3f}") for title, key in TILES if key in run.metrics],
        sections=[
            decisions_section(run),
            data_section(run),
            cost_section(run),
            training_section(run),
            labels_section(run),
            *gold_sections(run),
            trust_section(run),
            *([] if run.gold is not None else [surest_section(run)]),
            metrics_section(run),
        ],
    )
