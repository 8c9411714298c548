"""A micro-batch in several passes: the same gradient, the same numbers drawn, agreed on by all ranks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from teleclass.errors import MemoryShortageError
from teleclass.model.batching import Ragged, tokenize
from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.passes import Passes, split
from teleclass.model.rank_batches import RankBatches, Share
from teleclass.model.training_set import TrainingDocuments

TEXTS = [
    " ".join(["ripe", "apple", "ladder", "crust", "knife"][number % 5 :] * (1 + number % 4)) for number in range(9)
]


@pytest.fixture
def classifier(tiny_model):
    torch.manual_seed(1)
    return LabelMatchingClassifier.from_backbone(tiny_model, n_classes=7, class_dimension=5).train()


@pytest.fixture(params=["packed", "padded"])
def documents(request, tiny_model):
    n = len(TEXTS)
    return TrainingDocuments(
        tokens=tokenize(AutoTokenizer.from_pretrained(tiny_model), TEXTS, 64), rows=np.arange(n),
        is_corpus=np.ones(n, dtype=bool), positives=Ragged.of([np.array([one % 7]) for one in range(n)]),
        ignored=Ragged.of([np.array([(one + 1) % 7]) for one in range(n)]),
        weights=np.linspace(0.5, 1.5, n, dtype=np.float32), n_classes=7,
        pad_id=None if request.param == "packed" else 0,
    )  # fmt: skip


def whole(documents) -> dict:
    return documents[Share(np.argsort(-documents.tokens.lengths, kind="stable"), 0.25)]


def gradient(classifier, parts: list[dict]) -> torch.Tensor:
    classifier.zero_grad()
    for part in parts:
        classifier(**part).backward()
    return torch.cat([one.grad.flatten() for one in classifier.parameters() if one.grad is not None])


@pytest.mark.parametrize("number", [2, 4, 16])
def test_the_gradient_of_the_parts_is_that_of_the_whole(classifier, documents, number):
    """16 parts of 9 documents: seven hold one that does not count."""
    one, many = gradient(classifier, [whole(documents)]), gradient(classifier, split(whole(documents), number))
    assert float(one.norm()) > 0
    assert float((one - many).norm() / one.norm()) < 1e-6


def test_every_part_has_about_as_many_documents_and_the_first_the_most(documents):
    parts = split(whole(documents), 4)
    assert [len(part["weights"]) for part in parts] == [3, 2, 2, 2]
    assert max(part["batch"].n_tokens for part in parts) == parts[0]["batch"].n_tokens
    assert sum(part["batch"].n_tokens for part in parts) == documents.tokens.lengths.sum()


def passes(classifier, limit: int, monkeypatch, ranks=None, in_backward: bool = False) -> Passes:
    """An engine's module on a device that holds so many tokens at once, forward or in the backward pass."""
    forward = LabelMatchingClassifier.forward

    def limited(self, **arguments):
        loss = forward(self, **arguments)
        if arguments["batch"].ids.numel() <= limit:
            return loss
        if in_backward:
            return Failing.apply(loss)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(LabelMatchingClassifier, "forward", limited)
    ranks = ranks or SimpleNamespace(gather=lambda value: [value])
    engine = SimpleNamespace(module=classifier, device=torch.device("cpu"), global_steps=0)
    return Passes(engine, SimpleNamespace(ranks=ranks, tags={}), accumulation=1)


class Failing(torch.autograd.Function):
    @staticmethod
    def forward(context, loss):
        return loss.clone()

    @staticmethod
    def backward(context, gradient):
        raise torch.OutOfMemoryError("CUDA out of memory")


def batches_of(documents, batch_size: int = 8) -> RankBatches:
    return RankBatches(documents.tokens.lengths, batch_size, 0, 1, seed=0)


@pytest.mark.parametrize("in_backward", [False, True])
def test_passes_are_doubled_until_the_largest_fits(classifier, documents, monkeypatch, in_backward, caplog):
    found = passes(classifier, 40, monkeypatch, in_backward=in_backward)
    before = torch.random.get_rng_state()
    with caplog.at_level("INFO", logger="teleclass"):
        found.fit(documents, batches_of(documents), 10)
    assert found.number in (2, 4)
    assert found.work.tags == {"training_passes": str(found.number)}
    assert len(caplog.messages) == found.number.bit_length() - 1
    assert "out of memory on cpu: documents a pass of training go down from 5 to 3; the batch" in caplog.messages[0]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(one.grad is None for one in classifier.parameters())


def test_a_rank_with_memory_follows_one_without(classifier, documents, monkeypatch):
    answers = iter([[True, False], [True, True]])
    found = passes(classifier, 1_000, monkeypatch, SimpleNamespace(gather=lambda value: next(answers)))
    found.fit(documents, batches_of(documents), 10)
    assert found.number == 2


def test_one_document_that_does_not_fit_ends_with_what_to_do(classifier, documents, monkeypatch):
    found = passes(classifier, 3, monkeypatch)
    with pytest.raises(MemoryShortageError, match=r"one document of \d+ tokens does not fit.*--training.max_tokens"):
        found.fit(documents, batches_of(documents), 10)


def test_a_lack_of_memory_later_on_ends_with_what_to_do(classifier, documents, monkeypatch):
    found = passes(classifier, 1_000, monkeypatch)

    def engine(**arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    found.engine = engine
    engine.device, engine.global_steps = "cuda:1", 41
    with pytest.raises(MemoryShortageError, match=r"cuda:1 ran out of memory in step 42.*the same command again"):
        found.run(whole(documents))


@pytest.mark.parametrize("is_padded", [False, True])
def test_the_heaviest_share_is_the_largest_of_all_ranks_and_steps(is_padded):
    lengths = np.random.default_rng(3).integers(2, 40, 50)
    ranks = [RankBatches(lengths, 4, rank, 2, 0, 2) for rank in range(2)]

    def size(rows) -> int:
        return int(len(rows) * lengths[rows].max() if is_padded else lengths[rows].sum())

    found = [rank.heaviest(2 * rank.n_steps, is_padded).tolist() for rank in ranks]
    assert found[0] == found[1]
    sizes = []
    for rank in ranks:
        for epoch in range(2):
            rank.epoch = epoch
            sizes += [size(share.rows) for share in rank if share.weight]
    assert size(np.array(found[0])) == max(sizes)
