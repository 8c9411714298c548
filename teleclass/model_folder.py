"""A trained model's folder: what lies in it besides the weights, for new texts to be filed as the experiment did."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teleclass.data.taxonomy import Taxonomy
from teleclass.errors import ModelError
from teleclass.labelling.label_model import LabelModel

if TYPE_CHECKING:
    from teleclass.model.encoder import SentenceEncoder

FILING = "filing"
"""Inside the model's folder: how texts are filed, the label model and its encoder."""


@dataclass(frozen=True)
class FilingSettings:
    """How the experiment filed its documents, for new texts to be filed alike.

    Attributes
    ----------
    classifier_weight : share of the classifier in the geometric mean with the label model; 1 has no label model.
    max_tokens, encoder_max_tokens : where the classifier and the encoder cut a text; 0 is the encoder's own limit.
    labels_per_document, stop_at_inner : see :class:`teleclass.labelling.decoding.DecodingConfig`.
    multiplicity : solved on the experiment's documents, see :class:`teleclass.labelling.decoding.Decoder`.
    """

    classifier_weight: float
    max_tokens: int
    labels_per_document: float
    stop_at_inner: bool
    multiplicity: float
    encoder_max_tokens: int = 0


def save_filing(folder: Path, settings: FilingSettings, label_model: Path, encoder: Path) -> None:
    """Write what :meth:`TELEClassifier.from_pretrained` needs besides the trained model.

    Parameters
    ----------
    folder : the new folder, ``FILING`` inside the model's.
    label_model, encoder : file and folder to copy; neither is where the classifier decides alone.
    """
    from teleclass.model.sources import copy_model

    folder.mkdir(parents=True)
    if settings.classifier_weight < 1:
        shutil.copyfile(label_model, folder / "label_model.npz")
        copy_model(encoder, folder / "encoder")
    (folder / "filing.json").write_text(json.dumps(asdict(settings), indent=1) + "\n", "utf-8")


def read_settings(folder: Path) -> FilingSettings:
    """The filing settings in a model's folder.

    Raises
    ------
    ModelError : the folder is missing, or was not written by an experiment's predict phase.
    """
    content = _read_json(folder, f"{FILING}/filing.json")
    try:
        return FilingSettings(**content)
    except TypeError:
        raise ModelError(
            f"{folder / FILING / 'filing.json'} is of another version of teleclass; predict again"
        ) from None


def read_taxonomy(folder: Path) -> Taxonomy:
    content = _read_json(folder, "taxonomy.json")
    try:
        return Taxonomy(content["ids"], content["names"], [tuple(edge) for edge in content["edges"]])
    except (KeyError, TypeError):
        raise ModelError(f"{folder / 'taxonomy.json'} holds no taxonomy; train again") from None


def read_label_model(folder: Path) -> LabelModel:
    file = folder / FILING / "label_model.npz"
    try:
        return LabelModel.load(file)
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"{file} cannot be read ({str(error).splitlines()[0]}); predict again") from None


def read_encoder(folder: Path, device: str, max_tokens: int) -> SentenceEncoder:
    from teleclass.model.encoder import SentenceEncoder
    from teleclass.model.sources import find_model
    from teleclass.model.weights import check_model
    from teleclass.runtime.devices import inference_dtype

    dtype = str(inference_dtype(device)).removeprefix("torch.")
    check_model(find_model(str((folder / FILING / "encoder").absolute())))
    return SentenceEncoder(find_model(str((folder / FILING / "encoder").absolute())), device, dtype, max_tokens)


def _read_json(folder: Path, name: str) -> Any:
    if not folder.is_dir():
        raise ModelError(f"the model folder {folder} does not exist; an experiment writes OUTPUT/model")
    try:
        return json.loads((folder / name).read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} lacks {name}: it is not a model that an experiment has filed documents with"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / name} cannot be read ({str(error).splitlines()[0]})") from None
