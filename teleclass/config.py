"""The configuration: a dataclass that nests the one each module owns, presets, and the command line over it."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from teleclass.data.layout import SAMPLE_DIR
from teleclass.errors import TeleclassError
from teleclass.labelling.affinity import EnrichmentConfig
from teleclass.labelling.augmentation import AugmentationConfig
from teleclass.labelling.core_classes import AnnotationConfig
from teleclass.labelling.decoding import DecodingConfig
from teleclass.labelling.expansion import ExpansionConfig
from teleclass.labelling.generation import GenerationConfig
from teleclass.labelling.phrases import PhraseConfig
from teleclass.labelling.refinement import RefinementConfig
from teleclass.labelling.selection import LabellingConfig
from teleclass.model.embedding import EncoderConfig
from teleclass.model.training import TrainingConfig
from teleclass.phases.predict import PredictionConfig
from teleclass.runtime.ds_config import DEFAULT_FILE
from teleclass.runtime.llm import LlmConfig
from teleclass.runtime.standstill import SupervisionConfig
from teleclass.runtime.tracking import TrackingConfig

PHASE_NAMES = ("encode", "label", "augment", "expand", "train", "predict", "evaluate")

PRESETS: dict[str, dict[str, Any]] = {
    "offline": {
        "encoder.model": "bundled",
        "training.model": "bundled",
        "training.epochs": 2,
        "training.max_steps": 300,
    },
    "full": {
        "encoder.model": "sentence-transformers/all-mpnet-base-v2",
        "training.model": "google-bert/bert-base-uncased",
    },
    "debug": {
        "encoder.model": "bundled",
        "training.model": "bundled",
        "training.max_steps": 4,
        "max_documents": 64,
    },
}
"""What each preset sets; "offline" is the default on the embedded sample, "full" on other data."""


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything an experiment is told.

    Parameters
    ----------
    data_dir
        folder of taxonomy and documents; the embedded sample when empty.
    output_dir
        where every artifact is written.
    preset
        "offline" (bundled models), "full" (all-mpnet-base-v2 and bert-base-uncased) or "debug" (seconds).
    seed
        of the order of documents, of dropout and of every draw.
    seeds
        several seeds, separated by commas: an experiment with each, and the mean and deviation of their metrics.
    register
        name in MLflow's model registry that the trained model gets a new version of; none when empty.
    deepspeed_config
        a DeepSpeed file; ds_config.json when empty.
    max_documents
        the first so many documents of each corpus alone; 0 takes all.
    force
        a phase to do again, and those after it, though they are fresh.
    repair
        mend what can be mended in the data folder, and count it, instead of stopping at the first fault.
    dry_run
        check everything, print this configuration and which phases are to do and for how long, and write nothing.
    """

    data_dir: str = ""
    output_dir: str = "outputs"
    preset: str = ""
    seed: int = 42
    seeds: str = ""
    register: str = ""
    deepspeed_config: str = ""
    max_documents: int = 0
    force: str = ""
    repair: bool = False
    dry_run: bool = False
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    labelling: LabellingConfig = field(default_factory=LabellingConfig)
    enrichment: EnrichmentConfig = field(default_factory=EnrichmentConfig)
    phrases: PhraseConfig = field(default_factory=PhraseConfig)
    annotation: AnnotationConfig = field(default_factory=AnnotationConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    expansion: ExpansionConfig = field(default_factory=ExpansionConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    prediction: PredictionConfig = field(default_factory=PredictionConfig)
    llm: LlmConfig = field(default_factory=LlmConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    supervision: SupervisionConfig = field(default_factory=SupervisionConfig)

    def __post_init__(self) -> None:
        if self.force and self.force not in PHASE_NAMES:
            raise ValueError(f"force: {self.force!r} is no phase; choose from {', '.join(PHASE_NAMES)}")
        if self.preset and self.preset not in PRESETS:
            raise ValueError(f"preset: {self.preset!r} is not known; choose from {', '.join(PRESETS)}")
        if self.max_documents < 0:
            raise ValueError("max_documents must be 0 or more")
        if self.seed < 0:
            raise ValueError("seed must be 0 or more")
        if set("/:") & set(self.register):
            raise ValueError("register: a name in the model registry holds no '/' and no ':'")
        self.all_seeds()

    def all_seeds(self) -> list[int]:
        """What ``seeds`` names, in its order; nothing when it is empty.

        Raises
        ------
        ValueError : a seed that is no whole number, or stands twice.
        """
        seeds = [one.strip() for one in self.seeds.strip("[]()").split(",")] if self.seeds else []
        if len(set(seeds)) < len(seeds) or not all(one.isascii() and one.isdigit() for one in seeds):
            raise ValueError(f"seeds: expected distinct whole numbers as 42,43,44, not {self.seeds!r}")
        return [int(one) for one in seeds]

    @property
    def data_folder(self) -> Path:
        return Path(self.data_dir) if self.data_dir else SAMPLE_DIR

    @property
    def deepspeed_file(self) -> Path:
        return Path(self.deepspeed_config) if self.deepspeed_config else DEFAULT_FILE


WITHOUT_VALUE = "{} has no value; give one, or leave the option out"


def parse_arguments(arguments: Sequence[str] | None = None, program: str | None = None) -> ExperimentConfig:
    """Read the command line: defaults < ``--preset`` < ``--config file.yaml`` < flags.

    Raises
    ------
    TeleclassError : an unknown option, or a value that cannot be used.
    SystemExit : after ``--help`` or ``--print_config``.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(program)
    preset = _preset_of(arguments)
    if preset not in PRESETS:
        raise TeleclassError(f"preset: {preset!r} is not known; choose from {', '.join(PRESETS)}")
    parser.set_defaults({**PRESETS[preset], "preset": preset})
    arguments = _spell_out_switches(_without_local_rank(arguments))
    try:
        parsed = parser.parse_args(arguments)
        for name, value in parsed.items():
            if value is None and name != "config":  # YAML's way to write nothing, which fits any type here
                raise ValueError(WITHOUT_VALUE.format(name))
        built = parser.instantiate_classes(parsed)
    except (argparse.ArgumentError, ValueError, TypeError) as error:
        raise TeleclassError(_one_line(str(error), parser)) from None
    values = {name.name: getattr(built, name.name) for name in fields(ExperimentConfig)}
    try:
        return ExperimentConfig(**values)
    except ValueError as error:
        raise TeleclassError(str(error)) from None


def make_config(**options: Any) -> ExperimentConfig:
    """An :class:`ExperimentConfig` from keyword options: ``data_dir="…", training={"epochs": 1}`` or dotted names."""
    return parse_arguments(to_arguments(options))


def to_arguments(options: dict[str, Any], prefix: str = "") -> list[str]:
    """Options as command-line arguments; nested dictionaries and dataclasses become dotted names."""
    arguments = []
    for name, value in options.items():
        if is_dataclass(value) and not isinstance(value, type):
            value = {one.name: getattr(value, one.name) for one in fields(value)}
        if isinstance(value, dict):
            arguments.extend(to_arguments(value, f"{prefix}{name}."))
        else:
            arguments.append(f"--{prefix}{name}={str(value).lower() if isinstance(value, bool) else value}")
    return arguments


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A configuration's values by their dotted names."""
    flat: dict[str, Any] = {}
    for one in fields(config):
        value = getattr(config, one.name)
        if is_dataclass(value):
            flat.update(flatten(value, f"{prefix}{one.name}."))
        else:
            flat[prefix + one.name] = value
    return flat


def to_yaml(config: ExperimentConfig) -> str:
    """A configuration as YAML that ``--config`` reads."""
    import yaml

    nested: dict[str, Any] = {}
    for name, value in flatten(config).items():
        section, _, last = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[last] = value
    return yaml.safe_dump(nested, sort_keys=False)


def _parser(program: str | None) -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog=program,
        description="Hierarchical text classification without labels: taxonomy and documents in, submission.csv out.",
        exit_on_error=False,
        default_env=False,
    )
    parser.add_argument("--config", action="config", help="a YAML file of options")
    parser.add_class_arguments(ExperimentConfig, nested_key=None)
    return parser


def _preset_of(arguments: list[str]) -> str:
    """The preset that flags or the configuration file name; else by whether there is data."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--preset", "--config", "--data_dir"):
        early.add_argument(name, default="")
    try:
        found, _ = early.parse_known_args(arguments)
    except SystemExit:
        raise TeleclassError("--preset, --config and --data_dir take one value each") from None
    from_file: dict[str, Any] = {}
    if found.config and Path(found.config).is_file():
        import yaml

        try:
            from_file = yaml.safe_load(Path(found.config).read_text("utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise TeleclassError(f"{found.config}: is not valid YAML: {str(error).splitlines()[0]}") from None
        if not isinstance(from_file, dict):
            raise TeleclassError(f"{found.config}: expected options as 'name: value'")
        for name, value in from_file.items():  # of a file of such names alone jsonargparse says that it knows none
            if value is None:
                raise TeleclassError(WITHOUT_VALUE.format(name))
    data_dir = found.data_dir or from_file.get("data_dir")
    return found.preset or from_file.get("preset") or ("full" if data_dir else "offline")


def _without_local_rank(arguments: list[str]) -> list[str]:
    """DeepSpeed's launcher adds ``--local_rank=N``; the environment says the same."""
    kept, skip = [], False
    for one in arguments:
        if skip:
            skip = False
        elif one in ("--local_rank", "--local-rank"):
            skip = True
        elif not re.match(r"--local[_-]rank=", one):
            kept.append(one)
    return kept


def _spell_out_switches(arguments: list[str]) -> list[str]:
    """``--decoding.stop_at_inner`` alone means true."""
    switches = {f"--{name}" for name, value in flatten(ExperimentConfig()).items() if isinstance(value, bool)}
    spelt = []
    for number, one in enumerate(arguments):
        alone = number + 1 == len(arguments) or arguments[number + 1].startswith("--")
        spelt.append(f"{one}=true" if one in switches and alone else one)
    return spelt


def _one_line(message: str, parser: Any) -> str:
    """jsonargparse's message in one line, naming the nearest option where one is unknown."""
    known = [action.dest for action in parser._actions if action.dest and action.dest != "help"]
    unknown = re.search(r"(?:[Uu]nrecognized arguments: |Key '|not accept option ')(?:--)?([\w.-]+)", message)
    if unknown:
        group = re.search(r"Group '([\w.]+)' does not accept", message)
        option = f"{group[1]}.{unknown[1]}" if group else unknown[1]
        near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
        hint = f"; did you mean --{near[0]}?" if near else "; see --help"
        return f"unknown option {option!r}{hint}"
    lines = [line.strip(" -") for line in message.splitlines() if line.strip(" -")]
    return ": ".join(dict.fromkeys(line.rstrip(":") for line in lines))[:400]
