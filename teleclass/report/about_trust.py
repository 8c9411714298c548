"""Sections on what can be said without gold, and every metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teleclass.report import figures
from teleclass.report.examples import EXAMPLES, example, root_of, spread_over_roots
from teleclass.report.glossary import meaning
from teleclass.report.page import Examples, Facts, Figure, Section, Table
from teleclass.report.values import RunValues


def trust_section(run: RunValues) -> Section:
    """What can be said without gold: coverage, confidence, agreement of label model and classifier."""
    agrees, by_level = run.agrees, run.agreement_by_level
    names = [str(level) for level in range(1, len(by_level) + 1)]
    share = float(agrees.mean()) if len(agrees) else 1.0
    facts = [
        ("coverage", f"{run.metrics.get('label/coverage', 0):.1%} of the training documents have pseudo labels, on "
                     f"{run.metrics.get('label/classes_with_documents', 0):,.0f} classes"),
        ("agreement", f"label model and classifier, each alone, find the same path for {share:.1%} of the documents"),
        ("confidence", f"{run.metrics.get('test/mean_confidence', 0):.2f} on average for filed documents"),
        ("entropy", f"{run.metrics.get('label/entropy', 0):.2f} of the label model's largest; 0 is sure, 1 is lost"),
        ("path consistency", f"{run.metrics.get('test/path_consistency', 0):.1%} of the label sets hold a parent of "
                             "each of their classes"),
    ]  # fmt: skip
    listed = ", ".join(f"level {name} {value:.2f}" for name, value in zip(names, by_level, strict=True))
    quartiles = np.percentile(run.margin, [25, 50, 75])
    blocks: list[Facts | Figure] = [
        Facts(facts),
        figures.finish("confidence_histogram", "Confidence",
                       figures.histogram(run.margin, "gap between the two best paths"),
                       "How sure the filed documents are: the gap between the probabilities of a document's two best "
                       "paths.",
                       "Histogram; quartiles {:.2f}, {:.2f} and {:.2f}.".format(*quartiles)),
        figures.finish("agreement_by_level", "Agreement by level",
                       figures.grouped_bars(names, {"agreement": by_level}, "share of documents", "taxonomy level"),
                       "Share of documents that label model and classifier give the same class on a level.",
                       f"Bars: {listed}."),
        figures.finish("agreement_by_confidence", "Agreement by confidence",
                       figures.rising(run.margin, agrees.astype(float), "share with the same path"),
                       "Share of documents with the same path by both, from the least to the most confident tenth.",
                       "A line by tenths: " + ", ".join(f"{agrees[rows].mean():.2f}"
                                                        for rows in figures.confidence_bins(run.margin)) + "."),
    ]  # fmt: skip
    says = (
        "How far labels can be trusted without gold: whether two views of the documents agree, and how sure they are."
    )
    return Section("trust", "Trust without gold", says, [*blocks])


def surest_section(run: RunValues) -> Section:
    """Without gold: the most and the least confident documents."""
    taxonomy = run.data.taxonomy
    order = np.argsort(-run.margin, kind="stable").tolist()
    blocks = []
    for title, rows in (("Ten most confident", order), ("Ten least confident", order[::-1])):
        near = rows[: max(20 * EXAMPLES, len(rows) // 10)]  # of these, one root after the other
        roots = [root_of(run.predicted[row], taxonomy) for row in near]
        blocks.append(Examples(title, [example(run, row) for row in spread_over_roots(near, roots, EXAMPLES)]))
    return Section(
        "examples", "Examples", "The surest and the least sure documents, one root after the other.", [*blocks]
    )


def metrics_section(run: RunValues) -> Section:
    rows: list[Sequence[str | float]] = [(name, value, meaning(name)) for name, value in sorted(run.metrics.items())]
    says = "By their names in MLflow; metrics.json has those of the evaluation."
    return Section(
        "metrics", "All metrics", says,
        [Table("all_metrics", "Metrics", [("name", None), ("value", 4), ("meaning", None)], rows)],
    )  # fmt: skip
