"""The training loss: binary cross-entropy over classes, with ignored classes and document weights."""

from __future__ import annotations

import torch
from torch.nn import functional


def masked_bce(
    logits: torch.Tensor, targets: torch.Tensor, counted: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Sum over documents, by their weights, of the sum over counted classes.

    Weights hold what makes a mean of it (see :class:`teleclass.model.rank_batches.Share`): the learning rate then means
    the same at every batch size, unlike with the summed loss of the published code.

    Parameters
    ----------
    logits, targets : (documents, C).
    counted : (documents, C), 0 where a class is ignored: the descendants of a document's deepest classes, of which
        its pseudo label says nothing (TELEClass, section 3.4).
    weights : (documents,).
    """
    losses = functional.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
    return ((losses * counted).sum(dim=1) * weights).sum()
