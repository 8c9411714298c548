"""Which phases are fresh, and why the others are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from teleclass.config import ExperimentConfig
from teleclass.data.dataset import read_dataset
from teleclass.execution import STOPPED, Phase, decide
from teleclass.runtime.artifacts import Artifacts, Marker
from teleclass.runtime.distributed import Ranks

FILES = {"classes": "c", "train_corpus": "t"}


def nothing(*_):
    raise AssertionError("nothing is run")


PHASES = (
    Phase("encode", nothing, lambda c: (), (), ("document_embeddings",), lambda c, data, ranks: c.encoder.model),
    Phase(
        "label", nothing, lambda c: (), ("document_embeddings",), ("label_model",), lambda c, data, ranks: c.decoding
    ),
    Phase(
        "train", nothing, lambda c: (), ("label_model",), ("model", "ds_config"), lambda c, data, ranks: c.training,
        layout=lambda ranks: ranks.world_size,
    ),
)  # fmt: skip


class Folder:
    """An output folder in which all three phases were completed."""

    def __init__(self, artifacts, data):
        self.artifacts, self.data, self.config = artifacts, data, ExperimentConfig()
        for decision in self.decide():
            self.complete(decision)

    def complete(self, decision, **changes):
        for name in decision.phase.outputs:
            with self.artifacts.writing(name) as partial:
                partial.write_text("content")
        marker = replace(Marker(decision.fingerprint, 1.0, parts=decision.parts), **changes)
        self.artifacts.complete(decision.phase.name, marker, decision.phase.outputs)

    def decide(self, phases=PHASES, files=FILES, ranks=1, **changes):
        config = replace(self.config, **changes)
        return decide(phases, config, self.data, Ranks(world_size=ranks), self.artifacts, files)

    def reasons(self, phases=PHASES, files=FILES, **changes):
        decisions = self.decide(phases, files, **changes)
        assert all((decision.reusable is None) == bool(decision.reason) for decision in decisions)
        return [decision.reason for decision in decisions]


@pytest.fixture
def folder(tmp_path, data_dir):
    return Folder(Artifacts(tmp_path / "out"), read_dataset(data_dir))


def test_everything_is_fresh_when_nothing_changed(folder):
    assert folder.reasons() == ["", "", ""]
    assert [decision.reusable.seconds for decision in folder.decide()] == [1.0] * 3


def test_an_empty_folder_has_all_to_do(tmp_path, folder):
    folder.artifacts = Artifacts(tmp_path / "empty")
    assert folder.reasons() == ["not done yet"] * 3


def test_a_changed_option_is_told_of_its_phase_and_followed_by_the_others(folder):
    config = folder.config
    assert folder.reasons(decoding=replace(config.decoding, stop_at_inner=True)) == [
        "", "options changed", "follows label",
    ]  # fmt: skip
    assert folder.reasons(training=replace(config.training, epochs=9)) == ["", "", "options changed"]


def test_changed_inputs_are_named(folder):
    assert folder.reasons(files=FILES | {"train_corpus": "other"})[0] == "inputs changed: train_corpus"
    assert folder.reasons(files=FILES | {"keywords": "new"})[2] == "inputs changed: keywords"
    assert folder.reasons(files={"classes": "c"})[1] == "inputs changed: train_corpus"
    assert folder.reasons(max_documents=5) == ["max_documents changed"] * 3


def test_a_new_version_of_a_method_is_told(folder):
    phases = (PHASES[0], replace(PHASES[1], version=7), PHASES[2])
    assert folder.reasons(phases) == ["", "the method changed with teleclass", "follows label"]


def test_a_missing_output_redoes_its_phase_alone(folder):
    folder.artifacts.path("label_model").write_text("shorter")
    assert folder.reasons() == ["", "", ""], "the same length is the same size"
    folder.artifacts.path("label_model").write_text("short")
    assert folder.reasons() == ["", "outputs missing: label_model", ""]


def test_a_forced_phase_is_followed_by_those_after_it(folder):
    assert folder.reasons(force="label") == ["", "forced", "follows label"]


def test_a_phase_whose_attempt_could_be_bettered_is_done_again_with_what_follows(folder):
    folder.complete(folder.decide()[1], is_partial=True)
    assert folder.reasons() == ["", STOPPED, "follows label"]


def test_a_marker_of_an_older_program_is_fresh_or_stale_without_saying_more(folder):
    for decision in folder.decide():
        folder.complete(decision, parts={})
    assert folder.reasons() == ["", "", ""]
    assert folder.reasons(max_documents=5) == ["inputs or options changed"] * 3


def test_another_number_of_ranks_redoes_a_phase_which_may_go_on_with_what_is_unfinished(folder):
    one, two = folder.decide(), folder.decide(ranks=2)
    assert [decision.reason for decision in two] == ["", "", "number of ranks changed"]
    assert [a.lineage == b.lineage for a, b in zip(one, two, strict=True)] == [True] * 3
    changed = folder.decide(training=replace(folder.config.training, epochs=9))
    assert changed[2].lineage != one[2].lineage
