"""The import directions of setup.cfg, and the names that are promised."""

import importlib

from experiments import ROOT
from importlinter.cli import lint_imports


def test_modules_import_only_what_lies_below_them(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_the_older_name_is_the_same_class():
    older = importlib.import_module("pipeline_teleclass_multigpu")
    from teleclass import TELEClassPipeline

    assert older.MultiGPUTELEClassPipeline is TELEClassPipeline


def test_no_module_is_longer_than_can_be_read():
    long = {path.name: n for path in ROOT.glob("teleclass/**/*.py") if (n := len(path.read_text().splitlines())) > 300}
    assert long == {}


def test_the_number_of_classes_of_one_data_set_stands_nowhere():
    found = [
        str(path) for path in [*ROOT.glob("teleclass/**/*.py"), ROOT / "run_experiment.py"] if "531" in path.read_text()
    ]
    assert found == []
