"""Published figures, by our own metrics; and our metrics against loops written from their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from teleclass.data.gold import gold_file, read_gold
from teleclass.data.layout import find_layout
from teleclass.data.published import read_initial_core_classes, read_refined_core_classes
from teleclass.data.taxonomy import read_taxonomy
from teleclass.labelling.metrics import example_f1, ranking_metrics


@pytest.fixture(scope="module")
def reference(shared_data):
    """Folder, taxonomy and the training gold of the published intermediate results."""
    folder = shared_data / "amazon_531_reference"
    if not folder.is_dir():
        pytest.skip("the published files are not here")
    layout = find_layout(folder)
    taxonomy = read_taxonomy(folder, layout)
    return folder, taxonomy, read_gold(gold_file(folder, layout, "train"), taxonomy)


def loop_example_f1(predicted, gold) -> float:
    total = 0.0
    for guess, truth in zip(predicted, gold, strict=True):
        hits = 0
        for node in guess:
            if node in truth:
                hits += 1
        total += 2 * hits / (len(guess) + len(truth))
    return total / len(gold)


def loop_ranking(scores, gold) -> dict[str, float]:
    """P@1, P@3, MRR and Example-F1 of the top 3, document by document."""
    first = third = top3 = 0.0
    reciprocal = []
    for row, truth in zip(scores.tolist(), gold, strict=True):
        ranked = sorted(range(len(row)), key=lambda node: (-row[node], node))[:3]
        hits = [node in truth for node in ranked]
        first += hits[0]
        third += sum(hits) / 3
        top3 += 2 * sum(hits) / (len(ranked) + len(truth))
        for node in truth:
            ahead = sum(1 for other, score in enumerate(row) if other not in truth and score >= row[node])
            reciprocal.append(1 / (1 + ahead))
    n_documents = len(gold)
    return {
        "precision_at_1": first / n_documents,
        "precision_at_3": third / n_documents,
        "mrr": sum(reciprocal) / len(reciprocal),
        "example_f1_top3": top3 / n_documents,
    }


def test_the_language_model_s_own_annotation_has_its_published_figure(reference):
    """Over all documents; those that it gave no class count as an empty set."""
    folder, taxonomy, gold = reference
    core = read_initial_core_classes(folder, taxonomy, gold)
    closed = [taxonomy.close(core.get(document, [])) for document in gold]
    assert len(gold) == 29_487
    assert example_f1(closed, list(gold.values())) == pytest.approx(0.653, abs=0.001)
    assert loop_example_f1(closed, list(gold.values())) == pytest.approx(0.653, abs=0.001)


def test_the_refined_core_classes_have_theirs_once_they_are_closed_over_ancestors(reference):
    folder, taxonomy, gold = reference
    core = read_refined_core_classes(folder, taxonomy, gold)
    truth = [gold[document] for document in core]
    assert len(core) == 22_115
    assert example_f1([taxonomy.close(nodes) for nodes in core.values()], truth) == pytest.approx(0.718, abs=0.001)
    assert example_f1([set(nodes) for nodes in core.values()], truth) == pytest.approx(0.424, abs=0.001)


@pytest.mark.parametrize("ties", [False, True], ids=["without ties", "with ties"])
@pytest.mark.parametrize(("n_classes", "most"), [(3, 3), (8, 1), (40, 6)])
def test_metrics_are_those_of_a_direct_loop_on_random_data(n_classes, most, ties):
    rng = np.random.default_rng(n_classes)
    scores = rng.normal(size=(200, n_classes))
    scores = np.round(scores) if ties else scores
    gold = [set(rng.choice(n_classes, rng.integers(1, most + 1), replace=False).tolist()) for _ in range(200)]
    predicted = [set(np.flatnonzero(row > 0.5).tolist()) for row in scores]
    predicted[::10] = [set() for _ in predicted[::10]]
    assert example_f1(predicted, gold) == pytest.approx(loop_example_f1(predicted, gold), abs=1e-12)
    assert ranking_metrics(scores, gold) == pytest.approx(loop_ranking(scores, gold), abs=1e-12)


def test_metrics_are_those_of_a_direct_loop_on_the_published_gold(reference):
    """Random scores that favour the published core classes, with ties, for 2,000 documents."""
    folder, taxonomy, gold = reference
    core = read_initial_core_classes(folder, taxonomy, gold)
    documents = list(gold)[:2_000]
    truth = [gold[document] for document in documents]
    scores = np.random.default_rng(531).integers(0, 60, size=(len(documents), taxonomy.n_classes)).astype(float)
    for row, document in enumerate(documents):
        scores[row, list(taxonomy.close(core.get(document, [])))] += 50
    assert ranking_metrics(scores, truth) == pytest.approx(loop_ranking(scores, truth), abs=1e-12)
    assert ranking_metrics(scores, truth)["precision_at_1"] > 0.3
