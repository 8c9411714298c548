"""Trainings of the seven-class data set that are killed, stopped and cut: the next run ends with the same weights."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import write_course_layout
from experiments import (
    DEEPSPEED,
    FP32,
    ROOT,
    clean_environment,
    free_port,
    mlflow_runs,
    options,
    processes_in,
    write_ds_config,
)

from teleclass.runtime.checkpoints import CheckpointFolder
from teleclass.runtime.distributed import Ranks

pytestmark = [pytest.mark.faults, pytest.mark.slow]

STRUCK = str(Path(__file__).with_name("struck.py"))
BF16 = {"fp16": {"enabled": False}, "bf16": {"enabled": True}}
FP16 = {"fp16": {"enabled": True, "loss_scale": 0, "initial_scale_power": 24, "loss_scale_window": 3, "hysteresis": 1}}
PRECISIONS = {"fp32": FP32, "bf16": BF16, "fp16": FP16}
TRAINED = ("train", "predict", "evaluate")


@dataclass
class Bench:
    """Experiments of so many ranks in one precision, of which ``whole`` was never disturbed.

    Each step of a training is saved, and an epoch has five.
    """

    cwd: Path
    arguments: list[str]
    ranks: int

    def run(self, output: str, strike: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        launcher = [
            DEEPSPEED,
            "--num_accelerators",
            str(self.ranks),
            "--master_port",
            str(free_port()),
            "--no_local_rank",
        ]
        start = launcher if self.ranks > 1 else [sys.executable]
        more = {"STRIKE": strike} if strike else {}
        environment = clean_environment(PATCHED_FP16="1", OMP_NUM_THREADS="1", **more, **environment)
        return subprocess.run(
            [*start, STRUCK, *self.arguments, "--output_dir", output], cwd=self.cwd, env=environment,
            capture_output=True, text=True, start_new_session=True, timeout=240,
        )  # fmt: skip

    def untrained(self, output: str) -> Path:
        """A new output folder in which training is to do."""
        folder = self.cwd / output
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.cwd / "whole", folder, ignore=shutil.ignore_patterns("model", *(
            f"{phase}.json" for phase in TRAINED)))  # fmt: skip
        return folder

    def weights(self, output: str) -> str:
        return hashlib.sha256((self.cwd / output / "model" / "model.safetensors").read_bytes()).hexdigest()

    def ends_like_the_whole(self, output: str) -> str:
        """Run the same command again; returns what it says."""
        process = self.run(output)
        assert process.returncode == 0, process.stderr[-3000:]
        assert self.weights(output) == self.weights("whole")
        assert (self.cwd / output / "submission.csv").read_bytes() == (self.cwd / "whole/submission.csv").read_bytes()
        assert not (self.cwd / output / "checkpoints").exists()
        assert mlflow_runs(self.cwd)[-1].info.status == "FINISHED"
        return process.stderr


@pytest.fixture(scope="module")
def unsteady_model(tiny_model, tmp_path_factory) -> Path:
    """The tiny model with dropout, which draws random numbers at every step."""
    folder = tmp_path_factory.mktemp("model") / "unsteady"
    shutil.copytree(tiny_model, folder)
    for file in folder.rglob("config.json"):
        config = json.loads(file.read_text())
        if "hidden_dropout_prob" in config:
            file.write_text(json.dumps(config | {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}))
    return folder


def bench_of(cwd: Path, encoder: Path, model: Path, precision: str, ranks: int) -> Bench:
    data = write_course_layout(cwd / "data")
    ds_file = write_ds_config(cwd / "ds.json", "auto", train_batch_size=4, **PRECISIONS[precision])
    # A CPU's layer norm does not score documents in fp16, which self-training would ask for.
    epochs, rounds = (4, 0) if precision == "fp16" else (3, 1)
    arguments = options(data, encoder, cwd / "out", "--deepspeed_config", str(ds_file), f"--training.epochs={epochs}",
                        f"--training.self_training_rounds={rounds}", "--training.checkpoint_minutes=0.000001",
                        "--tracking.model=false")  # fmt: skip
    arguments[arguments.index("--training.model") + 1] = str(model)
    del arguments[arguments.index("--output_dir") : arguments.index("--output_dir") + 2]
    bench = Bench(cwd, arguments, ranks)
    process = bench.run("whole")
    assert process.returncode == 0, process.stderr[-3000:]
    return bench


@pytest.fixture(scope="module", params=[("fp32", 1), ("bf16", 1), ("fp16", 1), ("fp32", 2), ("bf16", 2), ("fp16", 2)],
                ids=lambda one: f"{one[0]}-{one[1]}_ranks")  # fmt: skip
def every_bench(request, tiny_model, unsteady_model, tmp_path_factory) -> Bench:
    cwd = tmp_path_factory.mktemp("bench")
    return bench_of(cwd, tiny_model, unsteady_model, *request.param)


@pytest.fixture(scope="module")
def two_ranks(tiny_model, unsteady_model, tmp_path_factory) -> Bench:
    return bench_of(tmp_path_factory.mktemp("two"), tiny_model, unsteady_model, "fp32", 2)


def last_step(said: str) -> int:
    """The step that a run went on after."""
    return int(re.search(r"goes on after step (\d+) of 20", said)[1])


@pytest.mark.twin("teleclass.model.training_state:_set_draws")
def test_killed_in_the_middle_of_an_epoch_and_in_self_training_the_weights_are_the_same(every_bench):
    every_bench.untrained("killed")
    for save in (8, 10):  # in the second epoch, and then in the round of self-training
        process = every_bench.run("killed", f"{every_bench.ranks - 1} {save} 1 SIGKILL")
        assert process.returncode != 0
    said = every_bench.ends_like_the_whole("killed")
    assert last_step(said) >= 16
    assert processes_in(every_bench.cwd) == []


@pytest.mark.twin("teleclass.model.training:signals_wait=signals_break_off")
@pytest.mark.parametrize("deed", ["SIGTERM", "group"])
def test_told_to_stop_all_ranks_save_the_same_step(two_ranks, deed):
    two_ranks.untrained("stopped")
    process = two_ranks.run("stopped", f"1 6 1 {deed}")
    assert process.returncode != 0
    assert "after step 7 of 20, which is saved" in process.stderr, process.stderr
    assert mlflow_runs(two_ranks.cwd)[-1].info.status == "KILLED"
    assert last_step(two_ranks.ends_like_the_whole("stopped")) == 7
    assert processes_in(two_ranks.cwd) == []


@pytest.mark.twin("teleclass.runtime.checkpoints:CheckpointFolder._publish=publish_at_once")
def test_at_every_file_boundary_of_a_save_nothing_but_that_step_is_lost(two_ranks, tmp_path):
    plan = tmp_path / "plan.json"
    model = two_ranks.arguments[two_ranks.arguments.index("--training.model") + 1]
    more = two_ranks.arguments[two_ranks.arguments.index("--deepspeed_config") :]
    content = {"folder": str(tmp_path), "data": str(two_ranks.cwd / "data"), "model": model, "ranks": 2, "save": 6,
               "intermediate": str(two_ranks.cwd / "whole" / "intermediate"), "options": more}  # fmt: skip
    plan.write_text(json.dumps(content))
    paths = [str(one) for one in (ROOT, ROOT / "tests", ROOT / "tests" / "phases")]
    paths = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.run(
        [sys.executable, str(Path(STRUCK).with_name("kill_points.py")), str(plan)], cwd=tmp_path, text=True,
        env=clean_environment(OMP_NUM_THREADS="1", PYTHONPATH=paths), capture_output=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    results = json.loads(plan.with_suffix(".results").read_text())
    print(f"\n{len(results)} kill points, went on after steps {[one['went_on'] for one in results]}, "
          f"{sum(not one['same'] for one in results)} ended otherwise")  # fmt: skip
    assert len(results) >= 20
    assert all(one["killed"] and one["same"] for one in results), results
    assert {one["went_on"] for one in results} == {5, 6}


@pytest.mark.twin("teleclass.runtime.checkpoints:CheckpointFolder._attempt=attempt_or_fail")
def test_a_full_disk_costs_checkpoints_and_nothing_else(two_ranks):
    two_ranks.untrained("full")
    process = two_ranks.run("full", "1 6 2 full")
    assert process.returncode == 0, process.stderr[-3000:]
    assert "  step 6 could not be saved (No space left on device); training goes on, and step 5 stays saved" in (
        process.stderr
    )
    assert two_ranks.weights("full") == two_ranks.weights("whole")


@pytest.mark.twin("teleclass.runtime.checkpoints:file_digest=lambda _: ''")
def test_a_checkpoint_that_is_cut_or_changed_anywhere_is_passed_over(two_ranks, tmp_path):
    folder = two_ranks.untrained("spoilt")
    two_ranks.run("spoilt", "0 8 1 SIGKILL")
    checkpoints = folder / "checkpoints"
    newest = json.loads((checkpoints / "newest.json").read_text())["checkpoint"]
    facts = json.loads((checkpoints / newest / "manifest.json").read_text())["facts"]
    files = [file.relative_to(checkpoints) for file in (checkpoints / newest).rglob("*") if file.is_file()]
    assert len(files) >= 7
    for file in files:
        size = (checkpoints / file).stat().st_size
        for length in [None, *sorted({0, 1, size // 3, size // 2, size - 1} - {size}), "flipped"]:
            copy = tmp_path / "copy"
            shutil.copytree(checkpoints, copy)
            if length is None:
                (copy / file).unlink()
            elif length == "flipped":
                content = bytearray((copy / file).read_bytes())
                content[size // 2] ^= 1
                (copy / file).write_bytes(content)
            else:
                os.truncate(copy / file, length)
            found = CheckpointFolder(copy, Ranks()).find(facts["lineage"])
            assert found, (file, length)
            assert found.facts["step"] == facts["step"] - 1, (file, length)
            shutil.rmtree(copy)
    os.truncate(checkpoints / newest / "engine" / "zero_pp_rank_1_mp_rank_00_optim_states.pt", 1000)
    said = two_ranks.ends_like_the_whole("spoilt")
    assert "cannot be used (engine/zero_pp_rank_1_mp_rank_00_optim_states.pt has 1,000 bytes, not" in said
    assert last_step(said) == facts["step"] - 1


@pytest.mark.twin("teleclass.model.training_state:convert=lambda *_: 'taken out'")
def test_one_rank_goes_on_with_what_two_have_left_and_two_with_what_one_has(two_ranks, tiny_model):
    """Without dropout, whose draws another number of ranks cannot share, only the order of sums differs."""
    position = two_ranks.arguments.index("--training.model") + 1
    arguments = [*two_ranks.arguments]
    arguments[position] = str(tiny_model)
    two, one = Bench(two_ranks.cwd, arguments, 2), Bench(two_ranks.cwd, arguments, 1)
    for first, then in ((two, one), (one, two)):
        name = f"{first.ranks}_to_{then.ranks}"
        two_ranks.untrained(f"whole_{name}")
        assert first.run(f"whole_{name}").returncode == 0
        two_ranks.untrained(name)
        assert first.run(name, f"{first.ranks - 1} 6 1 SIGKILL").returncode != 0
        process = then.run(name)
        assert process.returncode == 0, process.stderr[-3000:]
        assert f"  goes on after step 5 of 20 as saved by {first.ranks} rank" in process.stderr
        whole, parts = (
            np.load(two_ranks.cwd / folder / "intermediate" / "classifier_scores.npy")
            for folder in (f"whole_{name}", name)
        )
        gap = float(abs(whole - parts).max())
        print(f"\n{name}: largest difference of class scores {gap:.1e}")
        assert gap < 1e-3


@pytest.mark.twin("teleclass.model.training_state:TrainingState._count_steps")
def test_with_another_total_batch_steps_are_counted_anew_and_the_training_ends(two_ranks):
    ds_file = write_ds_config(two_ranks.cwd / "ds_grown.json", 2, **FP32)
    arguments = [*two_ranks.arguments, "--deepspeed_config", str(ds_file)]
    two_ranks.untrained("grown")
    assert Bench(two_ranks.cwd, arguments, 2).run("grown", "0 7 1 SIGKILL").returncode != 0
    process = Bench(two_ranks.cwd, arguments, 1).run("grown")
    assert process.returncode == 0, process.stderr[-3000:]
    assert "  a step takes 2 documents now: step 6 is counted as step 12\n" in process.stderr
    assert "  goes on after step 12 of 40 as saved by 2 ranks" in process.stderr
    curve = (two_ranks.cwd / "grown" / "intermediate" / "learning_curve.csv").read_text().splitlines()
    assert curve[-1].startswith("40,")
