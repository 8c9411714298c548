import subprocess
import sys

import pytest

from teleclass.config import (
    PHASE_NAMES,
    PRESETS,
    ExperimentConfig,
    flatten,
    make_config,
    parse_arguments,
    to_arguments,
    to_yaml,
)
from teleclass.errors import TeleclassError
from teleclass.pipeline import PHASES


def test_the_sample_is_offline_and_other_data_is_full():
    assert parse_arguments([]).encoder.model == "bundled"
    full = parse_arguments(["--data_dir", "elsewhere"])
    assert full.preset == "full"
    assert full.encoder.model == PRESETS["full"]["encoder.model"]
    assert full.training.model == PRESETS["full"]["training.model"]


def test_flags_beat_the_file_and_the_file_beats_the_preset(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("preset: debug\ntraining:\n  max_steps: 9\n  epochs: 7\n")
    config = parse_arguments(["--config", str(file), "--training.epochs", "5"])
    assert config.preset == "debug"
    assert config.max_documents == PRESETS["debug"]["max_documents"]  # the preset's own
    assert config.training.max_steps == 9  # the file over the preset
    assert config.training.epochs == 5  # the flag over the file


def test_a_data_folder_in_the_file_chooses_the_preset_too(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("data_dir: elsewhere\n")
    assert parse_arguments(["--config", str(file)]).preset == "full"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--traning.epochs", "3"], "did you mean --training.epochs?"),
        (["--decoding.label_per_document", "3"], "did you mean --decoding.labels_per_document?"),
        (["--training.epochs", "three"], "training.epochs"),
        (["--training.epochs", "0"], "training.epochs must be 1 or more"),
        (["--training.checkpoint_minutes=-1"], "training.checkpoint_minutes must be 0 or more"),
        (["--decoding.labels_per_document", "-1"], "decoding.labels_per_document"),
        (["--prediction.classifier_weight", "1.5"], "prediction.classifier_weight"),
        (["--labelling.prior", "flat"], "labelling.prior"),
        (["--preset", "quick"], "choose from offline, full, debug"),
        (["--force", "training"], "choose from encode"),
        (["--seeds", "1,2,1"], "distinct whole numbers"),
        (["--seeds", "1,-2"], "distinct whole numbers"),
        (["--seeds", "1,,2"], "distinct whole numbers"),
        (["--register", "a/b"], "register"),
        (["--tracking.tags", "blue"], "'blue' is not NAME=VALUE"),
        (["--config", "/nowhere/options.yaml"], "/nowhere/options.yaml"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(arguments, says):
    with pytest.raises(TeleclassError) as caught:
        parse_arguments(arguments)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_in_a_file_names_the_nearest_known_one(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("training:\n  epoch: 7\n")
    with pytest.raises(TeleclassError, match=r"training\.epoch.*did you mean --training\.epochs"):
        parse_arguments(["--config", str(file)])


def test_broken_yaml_names_the_file(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("training: [1\n")
    with pytest.raises(TeleclassError, match=r"options\.yaml"):
        parse_arguments(["--config", str(file)])


@pytest.mark.parametrize("rank", [["--local_rank=1"], ["--local_rank", "1"], ["--local-rank=1"]])
def test_the_launchers_local_rank_is_accepted_and_ignored(rank):
    assert parse_arguments([*rank, "--seed", "7"]) == parse_arguments(["--seed", "7"])


def test_a_switch_alone_means_true():
    assert parse_arguments(["--decoding.stop_at_inner", "--seed", "1"]).decoding.stop_at_inner
    assert parse_arguments(["--decoding.stop_at_inner"]).decoding.stop_at_inner
    assert not parse_arguments(["--decoding.stop_at_inner", "false"]).decoding.stop_at_inner


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("seed:\n", "seed"),
        ("preset: offline\nseed:\n", "seed"),
        ("seed: 1\ntraining:\n", "training"),
        ("llm: {model: }\n", "llm.model"),
    ],
)
def test_an_option_without_a_value_in_a_file_is_named(tmp_path, content, name):
    """As a file has it that was cut after a colon."""
    (tmp_path / "cut.yaml").write_text(content)
    with pytest.raises(TeleclassError, match=f"^{name} has no value; give one, or leave the option out"):
        parse_arguments(["--config", str(tmp_path / "cut.yaml")])


def test_the_saved_configuration_reads_back_the_same(tmp_path):
    config = parse_arguments(["--data_dir", "d", "--decoding.labels_per_document", "2.5", "--training.epochs", "4"])
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert parse_arguments(["--config", str(file)]) == config


def test_keyword_options_and_arguments_agree():
    config = make_config(training={"epochs": 2}, decoding={"stop_at_inner": True}, seed=3)
    assert config == parse_arguments(["--training.epochs=2", "--decoding.stop_at_inner=true", "--seed=3"])
    assert to_arguments({"training": config.training})[0] == f"--training.model={config.training.model}"


def test_several_seeds_are_a_list_on_the_command_line_and_in_python():
    assert parse_arguments(["--seeds", "42, 43,7"]).all_seeds() == [42, 43, 7]
    assert parse_arguments(["--seeds", "42"]).all_seeds() == [42]
    assert make_config(seeds=[1, 2]).all_seeds() == [1, 2]
    assert parse_arguments([]).all_seeds() == []


def test_every_phase_has_a_name_that_force_accepts():
    assert tuple(phase.name for phase in PHASES) == PHASE_NAMES
    for name in PHASE_NAMES:
        assert ExperimentConfig(force=name).force == name


def test_no_option_lacks_a_description():
    from teleclass.config import _parser

    described = {action.dest: action.help for action in _parser(None)._actions}
    missing = [name for name in flatten(ExperimentConfig()) if not (described[name] or "").strip(" ()")]
    assert missing == []


def test_print_config_prints_what_can_be_read_back(tmp_path):
    printed = subprocess.run(
        [sys.executable, "-m", "teleclass", "run", "--print_config", "--training.epochs", "6"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    file = tmp_path / "printed.yaml"
    file.write_text(printed)
    assert parse_arguments(["--config", str(file)]).training.epochs == 6
