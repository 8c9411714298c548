"""The command as it is typed: lines, tables and JSON, stopped and gone on with."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import write_course_layout
from experiments import write_ds_config

from benchmarks import quality
from benchmarks.ablations import encode_class_views
from benchmarks.experiments import DataSet
from benchmarks.methods import METHODS, parse_methods
from teleclass.errors import TeleclassError

FAST = ("no EM", "best path", "tree search", "cosine, top 3", "supervised on the same embeddings")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quality")


@pytest.fixture(scope="module")
def command(folder, tiny_model):
    """The command's arguments but for the methods: seven classes, the tiny model, two training steps."""
    data = write_course_layout(folder / "seven")
    ds_file = write_ds_config(folder / "ds.json", 4, fp16={"enabled": False})
    options = f"--encoder.model {tiny_model} --training.model {tiny_model} --encoder.devices cpu"
    more = f" --training.max_steps 2 --deepspeed_config {ds_file}"
    return [
        str(data), "--work", str(folder / "work"), "--output", str(folder / "quality.json"),
        "--experiment_options", options + more,
    ]  # fmt: skip


def results(folder) -> dict:
    content = json.loads((folder / "quality.json").read_text())["results"]
    return {(one["data"], one["method"], one["seed"]): one for one in content}


def test_methods_without_an_experiment_are_measured_and_not_measured_twice(folder, command, capsys):
    arguments = [*command, "--methods", ",".join(FAST), "--table", str(folder / "tables" / "t.md")]
    assert quality.main(arguments) == 0
    lines = capsys.readouterr().out
    table = (folder / "tables" / "t.md").read_text()
    assert lines.endswith("\n" + table)
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[4:]]
    assert rows == list(FAST)
    first = results(folder)
    assert {key: one["metrics"].keys() >= {"example_f1", "mrr", "level_3_f1"} for key, one in first.items()} == {
        ("seven", method, None): True for method in FAST
    }
    assert not list((folder / "work").rglob("submission.csv"))

    assert quality.main(arguments) == 0
    assert results(folder) == first
    again = capsys.readouterr().out.splitlines()
    assert sum("measured 20" in line for line in again) == len(FAST)
    assert table == (folder / "tables" / "t.md").read_text()
    assert quality.main([*arguments, "--again", "--methods", "best path"]) == 0
    assert "measured 20" not in capsys.readouterr().out


def test_a_stopped_measurement_goes_on_with_what_is_missing(folder, command, monkeypatch, capsys):
    counted = []

    def stop_after(limit: int, method: str):
        def measure(data, seed):
            if len(counted) == limit:
                raise KeyboardInterrupt
            counted.append(method)
            return original[method].measure(data, seed)

        return measure

    original = dict(METHODS)
    own = [
        *command,
        "--output",
        str(folder / "stopped.json"),
        "--methods",
        "cosine, top 3, cosine, threshold, best path",
    ]
    for limit, status in ((2, 130), (9, 0)):
        for method in ("best path", "cosine, top 3", "cosine, threshold"):
            monkeypatch.setitem(METHODS, method, type(original[method])(stop_after(limit, method)))
        assert quality.main(own) == status
    assert counted == ["best path", "cosine, top 3", "cosine, threshold"]
    assert len(json.loads((folder / "stopped.json").read_text())["results"]) == 3
    assert "stopped; the same command goes on from here" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_experiment_is_a_row_with_the_figures_of_its_own_metrics(folder, command, capsys):
    methods = "teleclass, classifier alone, pseudo labels alone, SetFit zero-shot"
    assert quality.main([*command, "--methods", methods]) == 0
    found = results(folder)
    output = folder / "work" / "seven" / "seed_42"
    metrics = json.loads((output / "metrics.json").read_text())
    ours = found["seven", "teleclass", 42]
    assert ours["metrics"]["example_f1"] == metrics["test/example_f1"]
    assert ours["metrics"]["level_2_f1"] == metrics["test/level_2_f1"]
    assert "cores" in ours["machine"]
    assert ours["versions"]["torch"]
    assert (folder / "work" / "mlruns" / "mlflow.db").exists()
    assert found["seven", "classifier alone", 42]["metrics"]
    assert found["seven", "pseudo labels alone", None]["metrics"]
    setfit = found["seven", "SetFit zero-shot", 42]
    assert setfit["metrics"] or "not installed" in setfit["left_out"]
    shown = capsys.readouterr().out
    assert f"| teleclass | {metrics['test/example_f1']:.3f} |" in shown
    if not setfit["metrics"]:
        assert f"| SetFit zero-shot | {setfit['left_out']} |  |" in shown


@pytest.mark.slow
def test_a_further_seed_reuses_the_embeddings_and_gives_a_deviation(folder, command, capsys):
    assert quality.main([*command, "--methods", "teleclass,cosine, top 3", "--seeds", "42,43"]) == 0
    first, second = (folder / "work" / "seven" / f"seed_{seed}" for seed in (42, 43))
    embeddings = "intermediate/document_embeddings.npy"
    assert (first / embeddings).samefile(second / embeddings)
    assert "encode is fresh, reused" in second.with_suffix(".log").read_text()
    rows = {line.split(" | ")[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")}
    assert "±" in rows["| teleclass"]
    assert "±" not in rows["| cosine, top 3"]


@pytest.mark.slow
def test_a_failed_experiment_is_told_and_the_other_methods_go_on(folder, command, capsys):
    options = command[-1].replace("--training.model ", "--training.model /nowhere")
    bad = [*command[:-1], options, "--output", str(folder / "bad.json"), "--methods", "teleclass,best path"]
    assert quality.main(bad) == 1
    shown = capsys.readouterr()
    assert "seven, teleclass, seed 42: failed: the experiment ended with status" in shown.err
    assert "| teleclass | failed |" in shown.out
    assert [one["method"] for one in json.loads((folder / "bad.json").read_text())["results"]] == ["best path"]


def test_the_same_data_with_names_only_is_a_data_set_of_its_own(folder, command, capsys):
    assert quality.main([*command, "--methods", "no EM,no enrichment", "--without_keywords"]) == 0
    shown = capsys.readouterr().out
    assert "### seven\n" in shown
    assert "### seven (names only)\n" in shown
    found = results(folder)
    assert ("seven (names only)", "no EM", None) in found
    assert found["seven", "no enrichment", None]["metrics"]
    assert found["seven (names only)", "no enrichment", None]["left_out"] == "the classes have no keywords"
    assert "| no enrichment | the classes have no keywords |  |" in shown
    names_only = folder / "work" / "names_only" / "seven_names_only"
    assert not (names_only / "class_related_keywords.txt").exists()


def test_the_filed_documents_are_the_test_documents(folder, command):
    data = DataSet("seven", folder / "seven", folder / "work", command[-1].split())
    assert data.label_model.heads[0].class_vectors.shape == data.class_vectors().shape == (7, 32)
    assert data.embeddings().shape == (12, 32)
    assert np.array_equal(data.filed_embeddings(), data.embeddings()[8:])


@pytest.mark.slow
def test_class_vectors_made_here_are_those_of_the_encode_phase(folder, command):
    data = DataSet("seven", folder / "seven", folder / "work", command[-1].split())
    vectors = encode_class_views(data.data.taxonomy, data.config.encoder)
    assert vectors == pytest.approx(data.class_vectors(), abs=2e-2)  # bf16, in other batches
    assert (vectors @ data.class_vectors().T).argmax(axis=0).tolist() == list(range(7))


def test_other_data_or_options_have_another_fingerprint(folder, command, tmp_path):
    def fingerprint(folder, options=()):
        return DataSet("seven", folder, tmp_path / "work", options).fingerprint

    same, other = write_course_layout(tmp_path / "same"), write_course_layout(tmp_path / "other")
    (other / "test" / "test_labels.txt").write_text("0\t10\n")
    assert fingerprint(same) == fingerprint(folder / "seven")
    assert fingerprint(other) != fingerprint(same)
    assert fingerprint(same, ["--training.max_steps", "1"]) != fingerprint(same)


def test_method_names_may_hold_a_comma():
    assert parse_methods("cosine, threshold,Best path , cosine, top 3") == [
        "best path",
        "cosine, top 3",
        "cosine, threshold",
    ]
    assert parse_methods("") == list(METHODS)
    with pytest.raises(TeleclassError, match="did you mean 'best path'"):
        parse_methods("best pth")
    with pytest.raises(TeleclassError, match="'cosine' is not known"):
        parse_methods("cosine, best path")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "a"], "seeds: 'a' is no list of numbers"),
        (["--methods", "x"], "methods: 'x' is not known"),
        (["--experiment_options", "--training.epocks 1"], "did you mean --training.epochs"),
    ],
)
def test_what_a_user_can_mend_is_told_in_one_line(data_dir, tmp_path, capsys, arguments, message):
    own = ["--work", str(tmp_path / "w"), "--output", str(tmp_path / "q.json")]
    assert quality.main([str(data_dir), *own, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
