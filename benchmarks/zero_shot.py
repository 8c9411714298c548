"""SetFit's zero-shot classification, as its documentation shows it."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from benchmarks.evaluation import Filed, LeftOut, chosen_first
from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.class_text import readable
from teleclass.runtime.console import quiet_libraries

TEXTS_A_CLASS = 8
BATCH = 32
MAX_STEPS = 500
"""Pairs grow with the square of the classes: one pass over those of 300 leaf classes would be 180,000 steps."""


def setfit_zero_shot(texts: Sequence[str], taxonomy: Taxonomy, model: Path, seed: int) -> Filed:
    """Fine-tune a sentence encoder on "This sentence is NAME" of every leaf class, and file by the best leaf.

    The label set is the most probable leaf class and its ancestors over all parents; an inner class scores the sum of
    the leaves below it. One epoch over oversampled pairs of eight texts a class, of at most ``MAX_STEPS`` steps.

    Raises
    ------
    LeftOut : setfit is not installed, or does not work with what else is installed.
    """
    try:
        from setfit import SetFitModel, Trainer, TrainingArguments, get_templated_dataset
    except ModuleNotFoundError as error:
        lacking = "" if error.name == "setfit" else f": lacks {error.name}"
        raise LeftOut(f"not installed{lacking}") from None
    except ImportError as error:
        raise LeftOut(f"does not load: {str(error).splitlines()[0][:80]}") from None
    quiet_libraries()
    logging.getLogger("setfit").setLevel(logging.ERROR)
    leaves = taxonomy.leaves
    if len(leaves) < 2:
        raise LeftOut("needs two leaf classes")
    try:
        from datasets import disable_progress_bars

        disable_progress_bars()
        examples = get_templated_dataset(
            candidate_labels=[readable(taxonomy.names[leaf]) for leaf in leaves], sample_size=TEXTS_A_CLASS
        )
        with tempfile.TemporaryDirectory() as scratch, redirect_stdout(io.StringIO()):  # it prints its losses
            arguments = TrainingArguments(
                output_dir=scratch, batch_size=BATCH, num_epochs=1, max_steps=steps_of(len(leaves)), seed=seed,
                save_strategy="no", report_to="none", logging_strategy="no", show_progress_bar=False,
            )  # fmt: skip
            encoder = SetFitModel.from_pretrained(str(model))
            Trainer(model=encoder, args=arguments, train_dataset=examples).train()
        of_leaves = np.asarray(encoder.predict_proba(list(texts), as_numpy=True, show_progress_bar=False), np.float32)
    except (AttributeError, ImportError, TypeError) as error:  # of versions that do not go together
        raise LeftOut(f"does not work here: {type(error).__name__}: {str(error).splitlines()[0][:80]}") from None
    return file_by_leaves(of_leaves, taxonomy)


def steps_of(n_leaves: int) -> int:
    """Training steps: one epoch, or ``MAX_STEPS`` where that is longer; -1 for setfit to count the epoch itself."""
    n_texts = n_leaves * TEXTS_A_CLASS
    same = n_leaves * TEXTS_A_CLASS * (TEXTS_A_CLASS + 1) // 2
    different = n_texts * (n_texts + 1) // 2 - same
    return MAX_STEPS if 2 * max(same, different) > MAX_STEPS * BATCH else -1


def file_by_leaves(probabilities: np.ndarray, taxonomy: Taxonomy) -> Filed:
    """Label sets and scores from (N, leaves) probabilities of the leaf classes, in the order of ``taxonomy.leaves``."""
    leaves = taxonomy.leaves
    scores = np.zeros((len(probabilities), taxonomy.n_classes), dtype=np.float32)
    for column, leaf in enumerate(leaves):
        for node in taxonomy.close([leaf]):
            scores[:, node] += probabilities[:, column]
    labels = [taxonomy.close([leaves[best]]) for best in probabilities.argmax(axis=1)]
    return chosen_first(labels, scores)
