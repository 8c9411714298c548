"""Metrics in a few words, for the report's table."""

from __future__ import annotations

import re

MEANINGS = {
    "label/coverage": "share of training documents with a pseudo label",
    "label/classes_with_documents": "classes that have a pseudo-labelled document",
    "label/mean_confidence": "mean probability of a pseudo label",
    "label/labels_per_document": "pseudo labels a training document",
    "label/entropy": "mean entropy of the path posterior, as a share of a uniform one's",
    "label/prior_gain": "held-out log likelihood that a learnt prior adds, nats a document",
    "label/held_out_gain": "held-out log likelihood that soft EM adds, nats a document",
    "label/largest_root_share": "largest share of documents under one root, by class texts",
    "label/agreement_texts_uniform": "share with the same path by class texts and by EM with a uniform prior",
    "label/agreement_texts_corpus": "share with the same path by class texts and by EM with a learnt prior",
    "label/agreement_corpus_uniform": "share with the same path by both forms of EM",
    "label/agreement_core_classes": "how far given core classes and the label model agree",
    "label/starved_classes": "classes with too few documents before augmentation",
    "label/still_starved_classes": "classes with too few documents after it",
    "label/nearest_documents": "documents of the corpus lent to starved classes",
    "label/generated_documents": "documents written for starved classes",
    "label/example_f1": "Example-F1 of the pseudo labels",
    "label/micro_f1": "micro-F1 of the pseudo labels",
    "label/macro_f1": "macro-F1 of the pseudo labels",
    "label/candidate_recall": "share of gold classes among the candidates that were asked about",
    "test/example_f1": "mean over documents of 2|P ∩ G| / (|P| + |G|)",
    "test/example_f1_top3": "the same of the three best classes",
    "test/precision_at_1": "share of documents whose best class is gold",
    "test/precision_at_3": "gold classes among the three best, divided by three",
    "test/mrr": "mean reciprocal rank of gold classes",
    "test/micro_f1": "F1 over all (document, class) pairs",
    "test/micro_precision": "share of given labels that are gold",
    "test/micro_recall": "share of gold labels that were given",
    "test/macro_f1": "mean F1 of the classes that have gold documents",
    "test/exact_match": "share of documents with exactly the gold set",
    "test/path_consistency": "share of label sets with a parent of each of their classes",
    "test/mean_confidence": "mean gap between a document's two best paths",
    "test/calibration_error": "mean distance of a label's probability from how often it is right",
    "test/labels_per_document": "labels a filed document",
    "test/documents_with_labels": "documents with gold that were given a label",
    "test/documents_with_gold": "filed documents that have gold",
    "test/agreement_label_model_classifier": "share with the same path by label model and classifier, each alone",
    "train/final_loss": "training loss of the last steps",
    "train/steps": "optimizer steps",
    "train/total_skipped_steps": "steps skipped by loss scaling",
    "train/rows": "rows of the training set",
    "train/documents_at_token_limit": "training rows as long as training.max_tokens or longer",
}


def meaning(name: str) -> str:
    """What a metric says, or nothing where that is not known."""
    if level := re.fullmatch(r"test/level_(\d+)_f1", name):
        return f"micro-F1 over the classes of level {level[1]}"
    if name.startswith("documents_per_second/"):
        return f"documents a second in {name.partition('/')[2]}"
    if name.startswith("gpu_memory_mb/"):
        return "peak of GPU memory, MB"
    return MEANINGS.get(name, "")
