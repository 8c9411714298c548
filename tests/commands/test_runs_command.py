import io
import re

import pytest
from tracked import client_of, started

from teleclass.cli import main
from teleclass.runtime.table import Table, print_table
from teleclass.runtime.tracking.runs import find_run


def ended(name, params, metrics, **config):
    tracker, run_id = started(params, {"preset": "offline"}, run_name=name, experiment="commands", **config)
    tracker.metrics(metrics)
    tracker.end("FINISHED")
    return run_id


@pytest.fixture(scope="module")
def two(made_at_once):
    """Two runs that differ in an option and two metrics."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(made_at_once[0])
        return (
            ended("flat", {"seed": 1, "data_dir": "a/books"}, {"test/example_f1": 0.5, "seconds/total": 300.0}),
            ended("deep", {"seed": 2, "data_dir": "a/books"}, {"test/example_f1": 0.75, "seconds/total": 900.0}),
        )


def shown(capsys, *arguments):
    status = main(["runs", *arguments])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out.splitlines()


def test_the_list_has_a_line_a_run_newest_first(here, two, capsys):
    header, newest, older = shown(capsys, "--experiment", "commands")
    assert header.split() == ["id", "name", "status", "test/example_f1", "test/precision_at_1", "started", "took",
                              "data", "preset"]  # fmt: skip
    assert newest.split()[:4] == [two[1][:8], "deep", "FINISHED", "0.7500"]
    assert newest.split()[-2:] == ["books", "offline"]
    assert older.split()[:4] == [two[0][:8], "flat", "FINISHED", "0.5000"]


def test_the_best_run_is_marked_and_comes_first(here, two, capsys):
    lines = shown(capsys, "--experiment", "commands", "--best", "seconds/total")
    assert lines[1].split()[:5] == ["*", two[0][:8], "flat", "FINISHED", "300"]
    assert lines[2].split()[:4] == [two[1][:8], "deep", "FINISHED", "900"]
    assert shown(capsys, "--experiment", "commands", "--best", "test/example_f1")[1].split()[1] == two[1][:8]


def test_a_metric_that_no_run_has_names_the_nearest(here, two, capsys):
    assert main(["runs", "--experiment", "commands", "--best", "test/exampel_f1"]) == 2
    assert capsys.readouterr().err == "error: no run has the metric 'test/exampel_f1'; did you mean test/example_f1?\n"


def test_two_runs_side_by_side_show_what_differs_and_every_metric(here, two, capsys):
    lines = [line.split() for line in shown(capsys, "compare", two[0][:10], "deep")]
    assert lines[0] == ["differs", two[0][:8], two[1][:8]]
    assert ["seed", "1", "2"] in lines
    assert ["test/example_f1", "0.5000", "0.7500"] in lines
    names = [line[0] for line in lines if line]
    assert "data_dir" not in names, "it is the same in both"
    assert "pid" not in names


def test_one_run_is_not_compared_with_itself(here, two, capsys):
    assert main(["runs", "compare", two[0], two[0][:9]]) == 2
    assert "two different runs" in capsys.readouterr().err


def test_a_run_goes_to_a_folder_and_comes_back_only_by_force(here, two, capsys, tmp_path):
    folder = str(tmp_path / "sent")
    assert folder in shown(capsys, "export", two[0], folder)[0]
    assert main(["runs", "import", folder]) == 2
    assert "--force imports it again" in capsys.readouterr().err
    new = find_run(shown(capsys, "import", folder, "--force")[0].split()[2])
    assert (new.name, new.tags["imported_from"]) == ("flat", two[0])
    client_of(here).delete_run(new.run_id)


def test_a_leftover_is_marked_in_the_list_and_ended(here, capsys):
    tracker, run_id = started(experiment="left over", run_name="lost")
    tracker.tags({"process_start": "an earlier boot/1"})
    lines = shown(capsys, "--experiment", "left over")
    assert lines[1].split()[:3] == [run_id[:8], "lost", "left"]
    assert "teleclass runs end" in lines[-1]
    assert any(line.startswith(run_id[:8]) for line in shown(capsys, "end"))
    assert client_of(here).get_run(run_id).info.status == "KILLED"
    assert shown(capsys, "end") == ["no run of this machine was left RUNNING"]


def test_without_a_store_the_list_says_how_to_make_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert "no run yet" in shown(capsys)[0]
    assert list(tmp_path.iterdir()) == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_the_same_cells_and_a_narrow_one_loses_none(monkeypatch):
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "34")
    stream = Terminal()
    rows = [["a run of a very long name", "0.5000", "[bold]"], ["b", "12.0000", "y"]]
    print_table(Table(["name", "test/f1", "data"], rows, right=[1], folded=[0], marked=[1]), stream)
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    for cell in ("0.5000", "12.0000", "[bold]", "f1", "run", "very", "long", "name"):
        assert cell in text
    assert max(map(len, text.splitlines())) <= 34
