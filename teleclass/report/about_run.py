"""Sections on the run itself: data, decisions, time and memory, training, labels and augmentation."""

from __future__ import annotations

import networkx as nx
import numpy as np

from teleclass.data.corpus import MAX_CHARACTERS
from teleclass.report.decisions import decisions
from teleclass.report.figures import documents_by_level, finish, histogram, learning_curve, sideways_bars
from teleclass.report.page import Facts, Section, Sentences, Table
from teleclass.report.values import RunValues
from teleclass.runtime.console import duration

MOST_NAMES = 12


def data_section(run: RunValues) -> Section:
    """Taxonomy and documents, and what of them was not read."""
    taxonomy, corpus = run.data.taxonomy, run.data.corpus
    words = np.fromiter((text.count(" ") + 1 if text else 0 for text in corpus.texts), dtype=np.int32)
    some = words[words > 0]
    typical = np.percentile(some, [50, 95, 100]).astype(int).tolist() if len(some) else [0, 0, 0]
    facts = [
        ("taxonomy", taxonomy.summary()),
        ("classes with several parents", _several_parents(run)),
        ("documents", f"{corpus.n_train:,} training, {corpus.n_test:,} test"),
        ("without text", f"{corpus.n_empty:,}"),
        ("words a document", "half have {:,} or fewer, 95 % {:,} or fewer, the longest {:,}".format(*typical)),
        ("cut", _cut(run)),
    ]
    if not corpus.n_test:
        facts.append(("filed", "the training documents themselves, as there is no test corpus"))
    levels = taxonomy.levels
    has_children = np.array([degree > 0 for _, degree in taxonomy.graph.out_degree()])
    by_level = [
        (level, int((levels == level).sum()), int(((levels == level) & ~has_children).sum()),
         sum(levels[node] == level for node in taxonomy.keywords))
        for level in range(1, int(levels.max()) + 1)
    ]  # fmt: skip
    columns = [("level", 0), ("classes", 0), ("leaves", 0), ("with keywords", 0)]
    roots = [
        (run.name(root), len(taxonomy.descendants(root)), int(run.pseudo_labelled[root])) for root in taxonomy.roots
    ]
    alt = "Histogram of the words of documents: half have {:,} or fewer, 95 % {:,} or fewer, the longest {:,}."
    return Section(
        "data",
        "Data",
        f"Read from {run.data.folder.resolve().name}.",
        [
            Facts(facts),
            Table("levels", "Classes by level", columns, by_level),
            Table(
                "roots", "Roots", [("root", None), ("classes below", 0), ("documents", 0)],
                sorted(roots, key=lambda row: -row[2]), "Training documents by their pseudo labels.",
            ),
            finish("lengths", "Length of documents", histogram(some, "words", logarithmic=True),
                   "Documents by their number of words (logarithmic); those without text are left out.",
                   alt.format(*typical)),
        ],
    )  # fmt: skip


def _several_parents(run: RunValues) -> str:
    taxonomy = run.data.taxonomy
    several = [node for node, degree in taxonomy.graph.in_degree() if degree > 1]
    if not several:
        return "none"
    named = [f"{run.name(node)} (under {', '.join(map(run.name, taxonomy.parents(node)))})" for node in several]
    more = f" and {len(several) - MOST_NAMES:,} more" if len(several) > MOST_NAMES else ""
    return f"{len(several):,}: {'; '.join(named[:MOST_NAMES])}{more}"


def _cut(run: RunValues) -> str:
    said = []
    if run.data.is_limited:
        said.append("only the first documents of each file were taken (max_documents)")
    if long := run.data.corpus.n_cut:
        said.append(f"{long:,} texts at {MAX_CHARACTERS:,} characters")
    if limited := int(run.metrics.get("train/documents_at_token_limit", 0)):
        rows = int(run.metrics.get("train/rows", 0))
        said.append(f"{limited:,} of {rows:,} training rows reach training.max_tokens; what comes after was not read")
    return "; ".join(said) or "nothing"


def decisions_section(run: RunValues) -> Section:
    found = decisions(run.phases, run.repairs)
    fallbacks = sum(one.is_fallback for one in found)
    says = "What the phases chose by themselves, and why."
    if fallbacks:
        says += f" {fallbacks} with a double line and a grey ground: not what was asked for, or worth a look."
    return Section("decisions", "Decisions", says, [Sentences(found)])


def cost_section(run: RunValues) -> Section:
    """Time and memory of the phases; those of a reused phase are of the run that made its results."""
    columns = [("phase", None), ("seconds", 1), ("memory MB", 0), ("GPU MB", 0), ("run", None)]
    rows = [
        (name, one.seconds, one.rss_mb, one.gpu_memory_mb, "earlier" if name in run.reused else "this")
        for name, one in run.phases.items()
    ]
    times = [duration(one.seconds) for one in run.phases.values()]
    alt = "Bars: " + ", ".join(f"{name} {time}" for name, time in zip(run.phases, times, strict=True)) + "."
    drawing = sideways_bars(list(run.phases), [one.seconds for one in run.phases.values()], "seconds", times)
    says = "Memory is the peak of the largest process; 0 where nothing was measured."
    if run.reused:
        says += f" Reused, with the figures of the run that made them: {', '.join(run.reused)}."
    return Section(
        "cost",
        "Time and memory",
        says,
        [
            Table("phases", "Phases", columns, rows),
            finish("seconds", "Seconds a phase", drawing, "Seconds each phase took, on all its devices together.", alt),
            Facts([(name, "; ".join(one.notes)) for name, one in run.phases.items() if one.notes]),
        ],
    )


def training_section(run: RunValues) -> Section:
    curve = run.learning_curve
    metrics = run.metrics
    facts = [
        ("optimizer steps", f"{metrics.get('train/steps', 0):,.0f}"),
        ("skipped steps", f"{metrics.get('train/total_skipped_steps', 0):,.0f}"),
        ("last loss", f"{metrics.get('train/final_loss', float('nan')):.4g}"),
        ("documents a second", f"{metrics.get('documents_per_second/train', 0):,.1f}"),
    ]
    if not len(curve["step"]):
        return Section("training", "Training", "", [Facts(facts)])
    first, last = float(curve["loss"][0]), float(curve["loss"][-1])
    scale, skipped = curve["loss_scale"], int(curve["skipped_steps"][-1])
    scaled = "1 throughout: no loss scaling" if (scale == 1).all() else f"from {scale[0]:,.0f} to {scale[-1]:,.0f}"
    alt = (
        f"Four lines over {int(curve['step'][-1]):,} optimizer steps: loss from {first:.3g} to {last:.3g}, learning "
        f"rate up to {curve['learning_rate'].max():.2g}, loss scale {scaled}, {skipped:,} skipped steps in the end."
    )
    says = f"Training loss, learning rate, loss scale ({scaled}) and skipped steps (counted up) by optimizer step."
    drawn = finish("learning_curve", "Learning curve", learning_curve(curve), says, alt)
    return Section("training", "Training", "", [Facts(facts), drawn])


def labels_section(run: RunValues) -> Section:
    """Training documents of the classes, before and after augmentation, by level."""
    levels, before = run.data.taxonomy.levels, run.pseudo_labelled
    after = before + run.augmented
    rows = []
    for level in range(1, int(levels.max()) + 1):
        here, then = before[levels == level], after[levels == level]
        rows.append(
            (level, len(here), int((here == 0).sum()), int((then == 0).sum()), np.median(here), np.median(then))
        )
    columns = [
        ("level", 0), ("classes", 0), ("none before", 0), ("none after", 0), ("median before", 1), ("median after", 1)
    ]  # fmt: skip
    alt = "Points, a class each, by level. Median documents a class before and after augmentation: " + "; ".join(
        f"level {row[0]}: {row[4]:,.0f} and {row[5]:,.0f}" for row in rows
    )
    drawing = documents_by_level(levels, before, after)
    says = "Training documents of each class by its level: pseudo-labelled (circles), after augmentation (crosses)."
    lonely = nx.number_of_isolates(run.data.taxonomy.graph)
    facts = [
        ("coverage", f"{run.metrics.get('label/coverage', 0):.1%} of the training documents have pseudo labels"),
        ("labels a document", f"{run.metrics.get('label/labels_per_document', 0):.2f}"),
        ("starved classes", f"{run.metrics.get('label/starved_classes', 0):,.0f} before augmentation, "
                            f"{run.metrics.get('label/still_starved_classes', 0):,.0f} after"),
        ("documents added", f"{run.metrics.get('label/nearest_documents', 0):,.0f} lent, "
                            f"{run.metrics.get('label/generated_documents', 0):,.0f} written"),
    ]  # fmt: skip
    if lonely:
        facts.append(("classes in no edge", f"{lonely:,}"))
    return Section(
        "labels",
        "Pseudo labels and augmentation",
        "",
        [Facts(facts), finish("documents_by_level", "Documents a class", drawing, says, f"{alt}."),
         Table("labels_by_level", "Training documents a class", columns, rows,
               "Classes without any document, and the median class's documents, before and after augmentation.")],
    )  # fmt: skip
