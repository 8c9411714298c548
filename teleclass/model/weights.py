"""A model folder, looked into before any work: files that are cut, weights that are missing or not finite."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from teleclass.errors import ModelError
from teleclass.model.sources import WEIGHTS

UNUSED = ("pooler.", "position_ids", "lm_head.", "cls.")
"""Parts of names of weights that are never used here, and often left out of a model's file."""

_LAYER = re.compile(r"(.*?\blayers?\.)(\d+)\.(.+)")


@cache
def check_model(folder: Path) -> None:
    """Find what would make a model fail late, or give nonsense in silence.

    Parameters
    ----------
    folder : see :func:`teleclass.model.sources.find_model`.

    Raises
    ------
    ModelError : broken JSON, code of the model's own, a weight file that is cut, weights that are missing or not
        finite; the file is named.
    """
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "modules.json"):
        _read_json(folder / name)
    _refuse_code(folder)
    found: set[str] = set()
    for file in _weight_files(folder):
        found |= _check_file(file)
    if missing := _missing_layer(_read_json(folder / "config.json"), found):
        raise lacks_weights(folder, [missing])


def lacks_weights(folder: Path, missing: Iterable[str]) -> ModelError:
    """The error of a model whose file lacks weights, which transformers would leave random."""
    return ModelError(f"the model in {folder} lacks weights, the first is {min(missing)}; get the model again")


def needed(missing: Iterable[str]) -> list[str]:
    """Those of some missing weights that are used here."""
    return [name for name in missing if not any(part in name for part in UNUSED)]


def not_finite(weights: Any) -> str:
    """The name of the first of some (name, tensor) pairs that holds NaN or infinity; empty where none does."""
    import torch

    return next((name for name, value in weights if value.is_floating_point() and not torch.isfinite(value).all()), "")


def _refuse_code(folder: Path) -> None:
    """Models that bring code are not read: it would run with the user's rights."""
    config = _read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise ModelError(f"{folder / 'config.json'}: expected one JSON object")
    kind = config.get("model_type")
    if not isinstance(kind, str) or ("auto_map" in config and not _is_known(kind)):
        own = "needs code of its own, which is never run" if "auto_map" in config else "is of no known kind"
        raise ModelError(f"the model in {folder} {own} (model_type {kind!r}); give another model")
    for module in _read_json(folder / "modules.json") or []:
        if not (isinstance(module, dict) and str(module.get("type", "")).startswith("sentence_transformers.")):
            raise ModelError(
                f"{folder / 'modules.json'} names a module that is not of sentence-transformers: code that a model "
                "brings is never run; give another model"
            )


def _is_known(kind: str) -> bool:
    """Whether transformers has the code for a kind of model."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return kind in CONFIG_MAPPING_NAMES


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS[0]).is_file():
        return [folder / WEIGHTS[0]]
    index = folder / WEIGHTS[1]
    try:
        names = sorted(set(_read_json(index)["weight_map"].values()))
    except (KeyError, TypeError, AttributeError):
        raise ModelError(f"{index} is no index of weights; get the model again") from None
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ModelError(f"{index} names {name}, which is not there; get the model again")
    return [folder / name for name in names]


def _check_file(file: Path) -> set[str]:
    """The names of a file's weights, all of them finite."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            names = list(opened.keys())
            broken = not_finite((name, opened.get_tensor(name)) for name in names)
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{file} is cut or broken ({reason}); get the model again") from None
    if broken:
        raise ModelError(f"{file} holds weights that are not finite, the first is {broken}; get the model again")
    return set(names)


def _missing_layer(config: dict[str, Any], found: set[str]) -> str:
    """The name of a weight that one layer has and another lacks; empty where all layers are alike.

    Loading the model tells every missing weight, but takes seconds, and would come after hours of other work.
    """
    by_layer: dict[tuple[str, int], set[str]] = {}
    for name in found:
        if match := _LAYER.fullmatch(name):
            by_layer.setdefault((match[1], int(match[2])), set()).add(match[3])
    wanted = int(config.get("num_hidden_layers") or 0)
    for stack in {stack for stack, _ in by_layer}:
        parts = set().union(*(of_layer for (one, _), of_layer in by_layer.items() if one == stack))
        last = max([wanted - 1, *(number for one, number in by_layer if one == stack)])
        for number in range(last + 1):
            if lacks := sorted(parts - by_layer.get((stack, number), set())):
                return f"{stack}{number}.{lacks[0]}"
    return ""


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8")) if file.is_file() else None
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{file} cannot be read ({reason}); get the model again") from None
