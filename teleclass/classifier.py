"""The classifier as a thing of its own: a folder that files new texts, with torch and transformers alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from teleclass.data.corpus import MAX_CHARACTERS
from teleclass.data.taxonomy import Taxonomy
from teleclass.errors import ModelError
from teleclass.labelling.combination import combine
from teleclass.labelling.decoding import Decoder, DecodingConfig
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import PathIndex, index_paths, path_margins
from teleclass.model_folder import FilingSettings, read_encoder, read_label_model, read_settings, read_taxonomy
from teleclass.runtime.devices import set_up_torch

if TYPE_CHECKING:
    from teleclass.model.encoder import SentenceEncoder
    from teleclass.model.scoring import Scorer

CHUNK = 2048
"""Texts that are held at once: enough for batches of like length, and 4 MB of scores with five hundred classes."""


@dataclass(frozen=True)
class Prediction:
    """The labels of one text.

    Attributes
    ----------
    classes, class_ids, probabilities : names, ids and marginal probabilities, most probable first.
    paths : each branch of the label set from its root down, names joined by `` > ``.
    confidence : gap between the probabilities of the two best taxonomy paths, 0 to 1.
    """

    classes: list[str]
    class_ids: list[int]
    probabilities: list[float]
    paths: list[str]
    confidence: float


class TELEClassifier:
    """A trained classifier: texts in, classes of the taxonomy out.

    It files texts exactly as the experiment filed its documents: classifier and label model are combined and the
    label set that maximises expected Example-F1 is chosen along the taxonomy.

    Attributes
    ----------
    taxonomy : the classes and their edges.
    classes_ : (C,), class names in the order of the columns of :meth:`predict_proba`.
    settings : how texts are filed.
    device : where it computes.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        settings: FilingSettings,
        scorer: Scorer | None,
        label_model: LabelModel | None,
        encoder: SentenceEncoder | None,
        device: str,
    ):
        self.taxonomy = taxonomy
        self.settings = settings
        self.classes_ = np.array(taxonomy.names)
        self.device = device
        self._scorer, self._label_model, self._encoder = scorer, label_model, encoder

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: str = "auto",
        classifier_weight: float | None = None,
        tokens_per_batch: int = 0,
    ) -> TELEClassifier:
        """Load a folder that an experiment wrote, ``outputs/model``.

        Parameters
        ----------
        device : ``cpu``, ``cuda:N``, or the first GPU if there is one.
        classifier_weight : another share of the classifier than the experiment's; 1 takes half the time, as no
            sentence encoder is loaded.
        tokens_per_batch : padded tokens computed at once; 0 chooses by the kind of device.

        Raises
        ------
        ModelError : the folder is incomplete or broken, or the device is not here.
        """
        set_up_torch()  # beside a busy neighbour 175 reviews took 29 s of CPU time without, and 2.5 s with it
        folder = Path(folder)
        taxonomy, settings = read_taxonomy(folder), read_settings(folder)
        if classifier_weight is not None:
            settings = _weighted(settings, classifier_weight, folder)
        device = find_device(device)
        scorer = label_model = encoder = None
        if settings.classifier_weight > 0:
            from teleclass.model.scoring import Scorer

            scorer = Scorer(folder, device, settings.max_tokens, tokens_per_batch)
            if scorer.n_classes != taxonomy.n_classes:
                raise ModelError(
                    f"{folder}: the model has {scorer.n_classes} classes, taxonomy.json {taxonomy.n_classes}"
                )
        if settings.classifier_weight < 1:
            label_model = read_label_model(folder)
            encoder = read_encoder(folder, device, settings.encoder_max_tokens)
        return cls(taxonomy, settings, scorer, label_model, encoder, device)

    def predict(self, texts: Iterable[str]) -> list[list[str]]:
        """Class names of each text, most probable first; each set is closed along the taxonomy."""
        return [one.classes for one in self.predictions(texts)]

    def predict_proba(self, texts: Iterable[str]) -> np.ndarray:
        """Probability that a class lies on the text's path, shape (texts, C), columns as ``classes_``."""
        parts = [self._paths.marginals(posterior) for posterior in map(self.posterior, _chunks(texts))]
        return np.concatenate([np.zeros((0, self.taxonomy.n_classes), np.float32), *parts]).astype(np.float32)

    def predictions(self, texts: Iterable[str]) -> Iterator[Prediction]:
        """Labels with probabilities, paths and confidence, text by text; holds :data:`CHUNK` texts at a time."""
        for chunk in _chunks(texts):
            posterior = self.posterior(chunk)
            marginals, margins = self._paths.marginals(posterior), path_margins(posterior)
            for row, nodes in enumerate(self._decoder.decode(posterior, self.settings.multiplicity, marginals)):
                yield Prediction(
                    classes=[self.taxonomy.names[node] for node in nodes],
                    class_ids=[self.taxonomy.ids[node] for node in nodes],
                    probabilities=[float(marginals[row, node]) for node in nodes],
                    paths=branches(nodes, marginals[row], self.taxonomy),
                    confidence=float(margins[row]),
                )

    def posterior(self, texts: Sequence[str]) -> np.ndarray:
        """Probability of every taxonomy path, shape (texts, P)."""
        texts = [clean(text) for text in texts]
        weight = self.settings.classifier_weight
        logits = (
            self._scorer.score(texts) if self._scorer else np.zeros((len(texts), self.taxonomy.n_classes), np.float32)
        )
        if self._label_model is None or self._encoder is None:
            labelled = np.full((len(texts), self._paths.n_paths), 1 / self._paths.n_paths, dtype=np.float32)
        else:
            labelled = self._label_model.posterior(self._encoder.encode(texts), self._paths)
        return combine(labelled, logits, self._paths, weight)

    @cached_property
    def _paths(self) -> PathIndex:
        return index_paths(self.taxonomy, self.settings.stop_at_inner)

    @cached_property
    def _decoder(self) -> Decoder:
        config = DecodingConfig(self.settings.labels_per_document, self.settings.stop_at_inner)
        return Decoder(self.taxonomy, self._paths, config)

    def __repr__(self) -> str:
        return f"TELEClassifier({self.taxonomy.summary()}; on {self.device})"


def branches(nodes: Sequence[int], marginals: np.ndarray, taxonomy: Taxonomy) -> list[str]:
    """Each branch of a label set from its root down, the most probable class's first.

    Where a class has several parents in the set, the most probable one is named.
    """
    chosen = set(nodes)
    found = []
    for node in nodes:
        if chosen.intersection(taxonomy.children(node)):
            continue
        path = [node]
        while above := [parent for parent in taxonomy.parents(path[-1]) if parent in chosen]:
            path.append(max(above, key=lambda parent: marginals[parent]))
        found.append(" > ".join(taxonomy.names[one] for one in reversed(path)))
    return found


def clean(text: str) -> str:
    """A text as the corpus has it: without blanks around it, cut, and without halves of surrogate pairs."""
    if not isinstance(text, str):
        raise TypeError(f"texts must be str, not {type(text).__name__}")
    return text.strip()[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def find_device(device: str) -> str:
    """``auto`` resolved.

    Raises
    ------
    ModelError : a device that is not here.
    """
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    known = {"cpu", "cuda"} | {f"cuda:{number}" for number in range(torch.cuda.device_count())}
    if device not in known or (device == "cuda" and not torch.cuda.is_available()):
        raise ModelError(
            f"the device {device!r} is not here; this machine has cpu and {torch.cuda.device_count()} GPUs"
        )
    return "cuda:0" if device == "cuda" else device


def _weighted(settings: FilingSettings, classifier_weight: float, folder: Path) -> FilingSettings:
    if not 0 <= classifier_weight <= 1:
        raise ModelError(f"classifier_weight must lie between 0 and 1, not {classifier_weight}")
    if classifier_weight < 1 and settings.classifier_weight == 1:
        raise ModelError(f"{folder} holds no label model: its experiment filed by the classifier alone")
    return replace(settings, classifier_weight=classifier_weight)


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    if isinstance(texts, str):
        raise TypeError("give a list of texts, not one text")
    iterator = iter(texts)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
