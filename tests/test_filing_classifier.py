"""The classifier from its folder: what the experiment filed, and what it refuses."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TEST
from experiments import ROOT, clean_environment
from packaging.requirements import Requirement

from teleclass import TELEClassifier
from teleclass.classifier import branches, clean
from teleclass.errors import ModelError

pytestmark = pytest.mark.slow

TEXTS = list(TEST.values())


def submitted(text: str) -> list[list[int]]:
    return [[int(number) for number in row["labels"].split(",")] for row in csv.DictReader(io.StringIO(text))]


@pytest.fixture(scope="module")
def classifier(one_process) -> TELEClassifier:
    return TELEClassifier.from_pretrained(one_process.model, device="cpu")


def test_the_folder_files_the_test_documents_as_the_experiment_did(classifier, one_process):
    found = list(classifier.predictions(TEXTS))
    assert [sorted(one.class_ids) for one in found] == submitted(one_process.submission)
    assert classifier.predict(TEXTS) == [one.classes for one in found]


def test_probabilities_stand_in_the_order_of_the_classes(classifier):
    probabilities = classifier.predict_proba(TEXTS)
    assert probabilities.shape == (4, 7)
    assert probabilities.dtype == np.float32
    assert list(classifier.classes_) == classifier.taxonomy.names
    for row, one in zip(probabilities, classifier.predictions(TEXTS), strict=True):
        columns = [list(classifier.classes_).index(name) for name in one.classes]
        np.testing.assert_allclose(row[columns], one.probabilities, atol=1e-5)
        assert one.probabilities == sorted(one.probabilities, reverse=True)
        assert 0 <= one.confidence <= 1
    np.testing.assert_allclose(probabilities[:, classifier.taxonomy.roots].sum(axis=1), 1, atol=1e-5)


def test_a_text_is_filed_alike_alone_and_among_others(classifier):
    alone = np.concatenate([classifier.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, classifier.predict_proba(TEXTS), atol=2e-3)


def test_no_text_gives_no_row(classifier):
    assert classifier.predict([]) == []
    assert classifier.predict_proba([]).shape == (0, 7)


def test_one_text_for_a_list_is_refused(classifier):
    with pytest.raises(TypeError, match="a list of texts"):
        classifier.predict("a ripe apple")
    with pytest.raises(TypeError, match="not NoneType"):
        classifier.predict([None])


def test_texts_are_read_as_the_corpus_reads_them():
    assert clean("  apple\n") == "apple"
    assert clean("half \ud83d of a pair") == "half ? of a pair"
    assert len(clean("a" * 30_000)) == 20_000


def test_another_weight_files_by_the_classifier_or_the_label_model_alone(classifier, one_process):
    alone, never = (TELEClassifier.from_pretrained(one_process.model, "cpu", weight) for weight in (1.0, 0.0))
    one, other, both = (each.predict_proba(TEXTS) for each in (alone, never, classifier))
    assert np.abs(one - both).max() > 1e-4
    assert np.abs(other - both).max() > 1e-4
    assert alone._encoder is None
    assert never._scorer is None
    with pytest.raises(ModelError, match="between 0 and 1"):
        TELEClassifier.from_pretrained(one_process.model, "cpu", 1.5)


def test_branches_run_from_the_root_and_name_the_likelier_parent(taxonomy):
    names = ["food", "tools", "bread", "knives", "bread_knives"]
    nodes = [taxonomy.names.index(name) for name in names]
    marginals = np.array([0.9, 0.1, 0.6, 0.8, 0.7, 0.1, 0.5])
    assert branches(nodes, marginals, taxonomy) == ["tools > knives > bread_knives"]
    assert branches([*nodes, 1], marginals, taxonomy)[-1] == "food > fruit"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: shutil.rmtree(folder / "filing"), "lacks filing/filing.json"),
        (lambda folder: (folder / "taxonomy.json").write_text("{}"), "holds no taxonomy"),
        (lambda folder: (folder / "taxonomy.json").write_text("{"), "taxonomy.json cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "cannot be read"),
        (
            lambda folder: (folder / "filing" / "label_model.npz").write_bytes(b"short"),
            "label_model.npz cannot be read",
        ),
        (lambda folder: (folder / "filing" / "encoder" / "tokenizer.json").unlink(), "lacks tokenizer.json"),
        (lambda folder: drop_a_weight(folder / "model.safetensors"), "lacks weights, the first is class_bias"),
        (lambda folder: (folder / "filing" / "filing.json").write_text('{"x": 1}'), "another version"),
        (shutil.rmtree, "does not exist"),
    ],
)
def test_a_broken_folder_is_refused_by_name(one_process, tmp_path, spoil, says):
    folder = tmp_path / "model"
    shutil.copytree(one_process.model, folder)
    spoil(folder)
    with pytest.raises(ModelError, match=says) as raised:
        TELEClassifier.from_pretrained(folder, "cpu")
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def drop_a_weight(file: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(file)
    del weights["class_bias"]
    save_file(weights, file, {"format": "pt"})


def test_a_device_that_is_not_here_is_refused(one_process):
    with pytest.raises(ModelError, match="'cuda:99' is not here"):
        TELEClassifier.from_pretrained(one_process.model, "cuda:99")


def requirements_of(*packages: str) -> set[str]:
    """Names of packages and of all that they require, without extras."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        parsed = [Requirement(one) for one in needs]
        waiting += [one.name for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def test_it_works_where_torch_and_transformers_alone_are_installed(one_process, tmp_path):
    """A folder of links to their files and those of what they require is all that this Python sees."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in requirements_of("torch", "transformers"):
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(distribution.locate_file(top))))
    code = f"""
import sys, json
sys.path[:0] = [{str(packages)!r}, {str(ROOT)!r}]
for name in ("deepspeed", "mlflow", "sentence_transformers", "scipy", "pandas", "sklearn"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(name + " is here")
from teleclass import TELEClassifier
found = TELEClassifier.from_pretrained({str(one_process.model)!r}, "cpu").predictions({TEXTS!r})
print(json.dumps([sorted(one.class_ids) for one in found]))
"""
    process = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], env=clean_environment(), cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout.splitlines()[-1]) == submitted(one_process.submission)


def test_importing_the_classifier_loads_no_heavy_library():
    code = (
        "import sys, time; from teleclass import TELEClassifier; print(time.process_time()); print(sorted(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True)
    seconds, modules = process.stdout.splitlines()
    assert float(seconds) < 2.5
    for heavy in ("torch", "transformers", "sentence_transformers", "pandas", "mlflow", "deepspeed"):
        assert f"'{heavy}'" not in modules
