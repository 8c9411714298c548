"""Write docs/configuration.md from the configuration's dataclasses: ``python docs/make_configuration.py``."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from docstring_parser import parse

from teleclass.config import PRESETS, ExperimentConfig, flatten

PAGE = Path(__file__).with_name("configuration.md")

HEAD = """\
# Configuration

Every option of `run_experiment.py` and `teleclass run`, made from the dataclasses by
`python docs/make_configuration.py`.

An option is written `--section.name value`, in a file `section:` and `name: value` below it, and in Python
`TELEClassPipeline(section={"name": value})`. Defaults < `--preset` < `--config file.yaml` < flags. `--print_config`
prints all of them as a file that `--config` reads; each run leaves its own as `config.yaml`. An unknown option is an
error that names the nearest known one. Batch, optimizer, schedule, precision and ZeRO are in the
[DeepSpeed file](devices.md#ds_configjson), not here.
"""


def page() -> str:
    """The whole page as Markdown."""
    config = ExperimentConfig()
    own = [one for one in fields(config) if not is_dataclass(getattr(config, one.name))]
    sections = [one for one in fields(config) if is_dataclass(getattr(config, one.name))]
    parts = [HEAD, _presets(), "## At the top\n", _table(config, [one.name for one in own])]
    for section in sections:
        value = getattr(config, section.name)
        about = parse(type(value).__doc__ or "").short_description
        parts += [
            f"## {section.name}\n",
            f"{about} Owned by `{type(value).__module__}`.\n",
            _table(value, [one.name for one in fields(value)], section.name + "."),
        ]
    return "\n".join(parts)


def _presets() -> str:
    """What each preset sets, beside the plain defaults."""
    defaults = flatten(ExperimentConfig())
    names = [name for name in defaults if any(name in preset for preset in PRESETS.values())]
    head = " | ".join(f"`{preset}`" for preset in PRESETS)
    lines = [
        "## Presets\n",
        '`offline` is the default on the embedded sample, `full` on data of your own; "–" is the default.\n',
        f"| option | {head} |",
        "|---" * (1 + len(PRESETS)) + "|",
    ]
    for name in names:
        cells = " | ".join(_value(preset[name]) if name in preset else "–" for preset in PRESETS.values())
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines) + "\n"


def _table(config: Any, names: list[str], prefix: str = "") -> str:
    """The options of one dataclass; its docstring says what each means."""
    about = {one.arg_name: one.description or "" for one in parse(type(config).__doc__ or "").params}
    types = {one.name: str(one.type) for one in fields(config)}
    lines = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for name in names:
        meaning = re.sub(r"([|*<])", r"\\\1", " ".join(about[name].split()))
        lines.append(f"| `{prefix}{name}` | {types[name]} | {_value(getattr(config, name))} | {meaning} |")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if value in ("", None):
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
