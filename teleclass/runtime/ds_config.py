"""The DeepSpeed file: read, checked, its "auto" values resolved, its precision fitted to the device."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teleclass.errors import InputError

DEFAULT_FILE = Path(__file__).parent.parent / "default_ds_config.json"
WARMUP_SHARE = 0.1
"""Share of the steps that "auto" gives to the warm-up."""

KNOWN_KEYS = frozenset(
    [
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "optimizer",
        "scheduler",
        "communication_data_type",
        "prescale_gradients",
        "gradient_predivide_factor",
        "sparse_gradients",
        "fp16",
        "bf16",
        "amp",
        "torch_autocast",
        "gradient_clipping",
        "zero_optimization",
        "zero_allow_untested_optimizer",
        "zero_force_ds_cpu_optimizer",
        "data_types",
        "gradient_accumulation_dtype",
        "steps_per_print",
        "wall_clock_breakdown",
        "memory_breakdown",
        "dump_state",
        "flops_profiler",
        "activation_checkpointing",
        "checkpoint",
        "comms_logger",
        "monitor_config",
        "tensorboard",
        "wandb",
        "csv_monitor",
        "elasticity",
        "compression_training",
        "data_efficiency",
        "curriculum_learning",
        "seed",
        "disable_allgather",
        "compile",
        "timers",
        "nebula",
        "eigenvalue",
        "graph_harvesting",
        "use_data_before_expert_parallel",
        "autotuning",
        "sparse_attention",
        "hybrid_engine",
        "dataloader_drop_last",
    ]
)


@dataclass(frozen=True)
class ResolvedDsConfig:
    """A configuration that DeepSpeed takes as it is, the optimizer taken out of it, and the precisions."""

    config: dict[str, Any]
    optimizer: dict[str, Any]
    precision_asked: str
    precision_used: str

    @property
    def micro_batch(self) -> int:
        return int(self.config["train_micro_batch_size_per_gpu"])

    @property
    def accumulation(self) -> int:
        return int(self.config["gradient_accumulation_steps"])


def read_ds_config(path: Path) -> dict[str, Any]:
    """Read a DeepSpeed configuration and refuse what DeepSpeed would accept in silence.

    Raises
    ------
    InputError : a missing file, broken JSON, an unknown key, a ZeRO stage that is not supported here.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError("the file does not exist; give another with --deepspeed_config", path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", path) from None
    except json.JSONDecodeError as error:
        raise InputError(f"is not valid JSON: {error.msg}", path, error.lineno) from None
    if not isinstance(content, dict):
        raise InputError("expected one JSON object", path)
    for key in content:
        if key not in KNOWN_KEYS:
            near = difflib.get_close_matches(key, KNOWN_KEYS, n=1)
            raise InputError(f"unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""), path)
    for name in ("optimizer", "scheduler", "fp16", "bf16", "zero_optimization"):
        for place, value in ((name, content.get(name, {})), (f"{name}.params", _params(content.get(name)))):
            if not isinstance(value, dict):
                raise InputError(f"{place} must be a JSON object, not {value!r}", path)
    stage = content.get("zero_optimization", {}).get("stage", 0)
    if stage not in (0, 1, 2, "auto"):
        raise InputError(f"zero_optimization.stage {stage!r} is not supported; use 0, 1 or 2", path)
    optimizer = content.get("optimizer", {}).get("type", "AdamW")
    if optimizer not in ("Adam", "AdamW"):
        raise InputError(f"optimizer.type {optimizer!r} is not supported; use Adam or AdamW", path)
    if all(content.get(name, {}).get("enabled") is True for name in ("fp16", "bf16")):
        raise InputError("fp16 and bf16 are both enabled; enable one of them", path)
    return content


def _params(section: Any) -> Any:
    return section.get("params", {}) if isinstance(section, dict) else {}


def batch_sizes(content: dict[str, Any], world_size: int, path: Path | None = None) -> tuple[int, int]:
    """Documents a rank and micro-step, and accumulation steps.

    Raises
    ------
    InputError : sizes that contradict each other or the number of ranks.
    """
    micro = content.get("train_micro_batch_size_per_gpu", "auto")
    steps = content.get("gradient_accumulation_steps", "auto")
    total = content.get("train_batch_size", "auto")
    for name, value in (("train_micro_batch_size_per_gpu", micro), ("gradient_accumulation_steps", steps),
                        ("train_batch_size", total)):  # fmt: skip
        if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise InputError(f'{name} must be a whole number above 0 or "auto", not {value!r}', path)
    if steps == "auto":
        steps = 1 if "auto" in (micro, total) else max(1, total // (micro * world_size))
    if micro == "auto":
        micro = 16 if total == "auto" else max(1, total // (steps * world_size))
    if total not in ("auto", micro * steps * world_size):
        raise InputError(
            f"train_batch_size {total} is not {micro} documents × {steps} accumulation steps × {world_size} ranks; "
            "leave train_batch_size out and the total follows the ranks",
            path,
        )
    return micro, steps


def resolve_ds_config(
    content: dict[str, Any],
    *,
    world_size: int,
    total_steps: int,
    supports: Callable[[str], bool],
    on_gpu: bool = False,
    path: Path | None = None,
) -> ResolvedDsConfig:
    """Fill in "auto", fall back in precision, and take the optimizer out.

    Parameters
    ----------
    content : as read by :func:`read_ds_config`; it is not changed.
    total_steps : optimizer steps of the whole training.
    supports : whether the device can compute in "fp16" or "bf16" at speed.
    on_gpu : whether ranks compute on GPUs, where gradients can be reduced during the backward pass; on a CPU both
        take the same cores, and overlapping them cost 3 % more.

    Raises
    ------
    InputError : contradicting batch sizes, or an "auto" that cannot be resolved.
    """
    config = _without_checkpoints(copy.deepcopy(content))
    micro, steps = batch_sizes(config, world_size, path)
    config.pop("train_batch_size", None)
    config.update(train_micro_batch_size_per_gpu=micro, gradient_accumulation_steps=steps)

    optimizer = config.pop("optimizer", {"type": "AdamW", "params": {}})
    defaults = {"lr": 5e-5, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
    given = {key: value for key, value in optimizer.get("params", {}).items() if value != "auto"}
    for key in given:
        if key not in defaults and key not in ("torch_adam", "adam_w_mode"):
            raise InputError(f"optimizer.params.{key} is not supported; use {', '.join(defaults)}", path)
    optimizer = {
        "type": optimizer.get("type", "AdamW"),
        "params": {key: given.get(key, defaults[key]) for key in defaults},
    }

    scheduler = config.get("scheduler", {}).get("params", {})
    automatic = {
        "total_num_steps": total_steps,
        "warmup_num_steps": max(1, round(WARMUP_SHARE * total_steps)),
        "warmup_max_lr": optimizer["params"]["lr"],
        "warmup_min_lr": 0.0,
    }
    for key, value in scheduler.items():
        if value == "auto" and key in automatic:
            scheduler[key] = automatic[key]

    if config.get("gradient_clipping") == "auto":
        config["gradient_clipping"] = 1.0
    if config.get("zero_optimization", {}).get("stage") == "auto":
        config["zero_optimization"]["stage"] = 1
    if config.get("zero_optimization", {}).get("overlap_comm") == "auto":
        config["zero_optimization"]["overlap_comm"] = on_gpu and world_size > 1
    if config.get("zero_optimization", {}).get("use_multi_rank_bucket_allreduce") == "auto":
        config["zero_optimization"]["use_multi_rank_bucket_allreduce"] = on_gpu  # on CPUs see runtime.exchange
    asked, used = _fit_precision(config, supports)
    config.setdefault("steps_per_print", 10**9)
    _refuse_auto(config, "", path)
    return ResolvedDsConfig(config, optimizer, asked, used)


def _without_checkpoints(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration that says nothing of checkpoints: they are this program's own, and must hold everything."""
    for name in ("checkpoint", "nebula"):
        config.pop(name, None)
    for name in ("elastic_checkpoint", "load_from_fp32_weights"):
        config.get("zero_optimization", {}).pop(name, None)
    return config


def _fit_precision(config: dict[str, Any], supports: Callable[[str], bool]) -> tuple[str, str]:
    fp16, bf16 = config.pop("fp16", {}), config.pop("bf16", {})
    if fp16.get("enabled") is True:
        asked = "fp16"
    elif bf16.get("enabled") is True:
        asked = "bf16"
    elif "auto" in (fp16.get("enabled"), bf16.get("enabled")):
        asked = "auto"
    else:
        asked = "fp32"
    ladder = {"fp16": ("fp16", "bf16"), "bf16": ("bf16",), "auto": ("bf16", "fp16"), "fp32": ()}[asked]
    used = next((precision for precision in ladder if supports(precision)), "fp32")
    if used == "fp16":
        config["fp16"] = {key: value for key, value in fp16.items() if value != "auto"} | {"enabled": True}
    elif used == "bf16":
        config["bf16"] = {key: value for key, value in bf16.items() if value != "auto"} | {"enabled": True}
    return asked, used


def _refuse_auto(value: Any, where: str, path: Path | None) -> None:
    if value == "auto":
        raise InputError(f'"auto" is not known for {where.removeprefix(".")}; give a value', path)
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_auto(inner, f"{where}.{key}", path)
