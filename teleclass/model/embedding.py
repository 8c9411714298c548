"""The sentence encoder's configuration, and the encoding of a few texts besides the corpus."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from teleclass.errors import TeleclassError
from teleclass.model.encoding import create_rows, embedding_dimension, encode_texts
from teleclass.model.sources import find_model
from teleclass.runtime.console import progress
from teleclass.runtime.devices import encoder_devices, inference_dtype, visible_gpus


@dataclass(frozen=True)
class EncoderConfig:
    """The sentence encoder.

    Parameters
    ----------
    model
        "bundled" (all-MiniLM-L6-v2), a folder, or a name on the Hugging Face hub.
    devices
        where workers run, for example "cuda:0,cuda:1" or "cpu,cpu"; "auto" takes every device.
    max_tokens
        texts are cut here; 0 takes the model's own limit.
    tokens_per_batch
        padded tokens a device computes at once; 0 chooses by the kind of device.
    """

    model: str = "bundled"
    devices: str = "auto"
    max_tokens: int = 0
    tokens_per_batch: int = 0


def embed(texts: Sequence[str], encoder: EncoderConfig, scratch: Path) -> np.ndarray:
    """Encode a few texts, such as class texts or terms, on the first device.

    On a GPU in a worker process of its own, whose memory is free again before the training starts. On a CPU here: a
    worker would import torch and transformers anew, 5 s of CPU time for what training needs in this process anyway.

    Parameters
    ----------
    scratch : an existing folder for a temporary file.

    Returns
    -------
    (texts, D), unit rows.
    """
    model = find_model(encoder.model)
    if not texts:
        return np.zeros((0, embedding_dimension(model)), dtype=np.float32)
    device = parse_devices(encoder.devices)[0]
    if device == "cpu":
        rows = _embed_here(texts, encoder, model)
    else:
        with tempfile.TemporaryDirectory(dir=scratch, prefix=".embed.") as folder:
            file = Path(folder) / "rows.npy"
            create_rows(file, len(texts), embedding_dimension(model))
            encode_texts(texts, file, model, [device], encoder.tokens_per_batch, encoder.max_tokens)
            rows = np.load(file)
    if np.isnan(rows).any():
        raise TeleclassError("the encoder gives NaN for a class text or a term; try another --encoder.model")
    return rows


def _embed_here(texts: Sequence[str], encoder: EncoderConfig, model: Path) -> np.ndarray:
    from teleclass.model.encoder import SentenceEncoder

    dtype = str(inference_dtype("cpu")).removeprefix("torch.")
    loaded = SentenceEncoder(model, "cpu", dtype, encoder.max_tokens)
    rows = np.full((len(texts), loaded.dimension), np.nan, dtype=np.float32)
    with progress(total=len(texts), unit="texts", what="encoding") as bar:
        for chosen, vectors in loaded.encode_tokens(loaded.tokenize(texts), encoder.tokens_per_batch):
            rows[chosen] = vectors
            bar.update(len(chosen))
    return rows


def parse_devices(text: str, local_ranks: int = 1) -> list[str]:
    """The list of devices that an option names.

    Raises
    ------
    TeleclassError : a device that does not exist here.
    """
    if text == "auto":
        return encoder_devices(local_ranks)
    devices = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not devices:
        raise TeleclassError("encoder.devices names no device; write for example cuda:0,cuda:1 or cpu,cpu")
    n_gpus = visible_gpus()
    known = {"cpu"} | {f"cuda:{index}" for index in range(n_gpus)}
    for device in devices:
        if device not in known:
            raise TeleclassError(
                f"encoder.devices: {device!r} is not here; this machine has cpu and {n_gpus} CUDA devices"
            )
    return devices
