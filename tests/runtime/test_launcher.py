import pytest
from experiments import ROOT

from teleclass.runtime import launcher

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def no_launcher(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("gpus", "ranks"), [(0, 1), (1, 1), (3, 3)])
def test_there_is_a_rank_for_each_gpu_and_one_without(monkeypatch, no_launcher, gpus, ranks):
    monkeypatch.setattr(launcher, "visible_gpus", lambda: gpus)
    assert launcher.ranks_to_launch() == ranks


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK"])
@pytest.mark.parametrize("rank", ["0", "2"])
def test_a_process_that_a_launcher_started_starts_no_more(monkeypatch, no_launcher, name, rank):
    monkeypatch.setattr(launcher, "visible_gpus", lambda: 3)
    monkeypatch.setenv(name, rank)
    assert launcher.ranks_to_launch() == 1


@pytest.mark.slow
def test_the_exit_status_of_the_experiment_is_the_launchers(monkeypatch, no_launcher, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert launcher.launch(["--traning.epochs", "3"], 1) == 2
    assert "did you mean --training.epochs?" in capfd.readouterr().err
