"""What an experiment reads, as MLflow shows it among a run's data sets."""

from __future__ import annotations

from collections.abc import Mapping

from teleclass.data.dataset import Dataset
from teleclass.runtime.artifacts import fingerprint
from teleclass.runtime.tracking import TrackedCorpus


def tracked_corpora(data: Dataset, digests: Mapping[str, str]) -> list[TrackedCorpus]:
    """The training and the test corpus for the tracker.

    Parameters
    ----------
    digests : SHA-256 of the input files by their role; none of a file that this rank did not read.
    """
    corpus = data.corpus
    parts = (("train_corpus", "training", corpus.texts[: corpus.n_train]),
             ("test_corpus", "test", corpus.texts[corpus.n_train :]))  # fmt: skip
    return [
        TrackedCorpus(
            name=f"{data.folder.resolve().name} {context}",
            context=context,
            # MLflow shows the counts that came first with a digest, so all that they come from is part of it.
            digest=fingerprint(
                corpus=digests[role], classes=digests["classes"], hierarchy=digests.get("hierarchy"),
                documents=len(texts),
            ),
            source=data.input_files()[role],
            profile={
                "documents": len(texts),
                "empty": int((texts.characters == 0).sum()),
                "classes": data.taxonomy.n_classes,
            },
        )
        for role, context, texts in parts
        if role in digests
    ]  # fmt: skip
