"""Shared fixtures: a seven-class taxonomy with a two-parent class, a dozen documents, a random two-layer BERT."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy  # noqa: F401  # its BLAS must be there to be limited
import pytest
from experiments import FP32, SCRIPT, Finished, clean_environment, loaded, options, run, write_ds_config
from threadpoolctl import threadpool_limits

pytest_plugins = ["faults.twins"]

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Two threads fight over matrices this small: the label model's tests take 20 s with them and 5 s without.
threadpool_limits(1, user_api="blas")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

CLASSES = {10: "food", 11: "fruit", 12: "bread", 20: "tools", 21: "knives", 22: "ladders", 30: "bread_knives"}
EDGES = [(10, 11), (10, 12), (20, 21), (20, 22), (12, 30), (21, 30)]
KEYWORDS = {"fruit": "apple,pear,ripe", "bread": "loaf,crust,bakery", "ladders": "rung,climb,steps"}
TRAIN = {
    "a": "a ripe apple and a pear from the market",
    "b": "the loaf had a dark crust, best bakery in town",
    "c": "climb the ladder, every rung holds, steps are wide",
    "d": "sharp knife for the kitchen with a good blade",
    "e": "saw toothed knife that cuts bread and crust cleanly",
    "f": "pears and apples were ripe and sweet",
    "g": "",
    "h": "a folding ladder with five steps",
}
TEST = {
    "0": "ripe pear, sweet apple",
    "1": "a ladder with a broken rung",
    "2": "the bread knife slips on a hard crust",
    "3": "fresh loaf from the bakery",
}
TRAIN_GOLD = {"a": "10,11", "b": "10,12", "c": "20,22", "d": "20,21", "e": "20,21,30", "f": "10,11", "h": "20,22"}
TEST_GOLD = {"0": "10,11", "1": "20,22", "2": "10,12,30", "3": "10,12"}


def write_lines(path: Path, rows: dict, separator: str = "\t") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{left}{separator}{right}\n" for left, right in rows.items()), "utf-8")


def write_course_layout(folder: Path) -> Path:
    """The seven-class data set in the course layout."""
    write_lines(folder / "classes.txt", CLASSES)
    (folder / "class_hierarchy.txt").write_text("".join(f"{p}\t{c}\n" for p, c in EDGES), "utf-8")
    write_lines(folder / "class_related_keywords.txt", KEYWORDS, ":")
    write_lines(folder / "train" / "train_corpus.txt", TRAIN)
    write_lines(folder / "test" / "test_corpus.txt", TEST)
    write_lines(folder / "train" / "train_labels.txt", TRAIN_GOLD)
    write_lines(folder / "test" / "test_labels.txt", TEST_GOLD)
    return folder


def write_reference_layout(folder: Path) -> Path:
    """The same data set in the reference layout."""
    write_lines(folder / "labels.txt", CLASSES)
    (folder / "label_hierarchy.txt").write_text("".join(f"{p}\t{c}\n" for p, c in EDGES), "utf-8")
    write_lines(folder / "train" / "llm_enrichment.txt", KEYWORDS, ":")
    write_lines(folder / "train" / "corpus.txt", TRAIN)
    write_lines(folder / "test" / "corpus.txt", TEST)
    write_lines(folder / "train" / "doc2labels.txt", TRAIN_GOLD)
    write_lines(folder / "test" / "doc2labels.txt", TEST_GOLD)
    return folder


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, proxy or setting for a language model of this machine reaches a test."""
    for name in [one for one in os.environ if one.startswith(("OPENAI_", "TELECLASS_LLM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def fp32_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """For comparisons with a plain computation: no CPU rounds the factors of label's products."""
    monkeypatch.setattr("teleclass.labelling.similarity.has_onednn_products", lambda: False)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A writable copy of the seven-class data set, course layout."""
    return write_course_layout(tmp_path / "data")


@pytest.fixture
def reference_dir(tmp_path: Path) -> Path:
    """A writable copy of the seven-class data set, reference layout."""
    return write_reference_layout(tmp_path / "reference_data")


@pytest.fixture
def taxonomy(data_dir: Path):
    """Positions 0 to 6: food, fruit, bread, tools, knives, ladders, bread_knives (under bread and knives)."""
    from teleclass.data.layout import find_layout
    from teleclass.data.taxonomy import read_taxonomy

    return read_taxonomy(data_dir, find_layout(data_dir))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer BERT of width 32, without dropout, that is a sentence-transformers model too."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = sorted({word.strip(",.") for text in [*TRAIN.values(), *TEST.values()] for word in text.split()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: number for number, token in enumerate([*special, *words, *CLASSES.values()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
    )  # fmt: skip
    torch.manual_seed(0)
    bert = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    plain = tmp_path_factory.mktemp("tiny_bert")
    bert.save_pretrained(plain)
    fast.save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=64)
    folder = tmp_path_factory.mktemp("tiny_model")
    SentenceTransformer(modules=[transformer, Pooling(32, "mean")], device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def zygote():
    """Forks experiments from a process that has loaded all libraries."""
    return loaded()


@pytest.fixture(scope="session")
def bench_of_one(zygote, tmp_path_factory, tiny_model):
    """A folder with an undisturbed experiment of one process, see :class:`faults.harness.Bench`."""
    from faults.harness import Bench

    return Bench.of_seven_classes(zygote, tmp_path_factory.mktemp("bench_one"), tiny_model, 1)


@pytest.fixture(scope="session")
def bench_of_two(zygote, tmp_path_factory, tiny_model):
    """The same of two ranks."""
    from faults.harness import Bench

    return Bench.of_seven_classes(zygote, tmp_path_factory.mktemp("bench_two"), tiny_model, 2)


@pytest.fixture(scope="session")
def one_process(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Finished:
    """A finished experiment on the seven-class data set: one process, batches of 4, fp32."""
    folder = tmp_path_factory.mktemp("experiment")
    data = write_course_layout(folder / "data")
    ds_file = write_ds_config(folder / "ds_one.json", 4, **FP32)
    arguments = options(data, tiny_model, folder / "one", "--deepspeed_config", str(ds_file))
    process = run([sys.executable, SCRIPT, *arguments], folder, TORCH_EXTENSIONS_DIR=str(folder / "compiled"))
    return Finished(folder, folder / "one", arguments, process)


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path):
    """A folder in which everything that the documentation shows was run: runs in ``mlruns/``, ``outputs/`` and all."""
    from examples import Examples

    return Examples.run(tmp_path_factory.mktemp("examples"), tiny_model)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data sets, where they lie beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the development data sets are not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def made_at_once(tmp_path_factory):
    """A folder in which two processes made MLflow's store at once, and how they ended: making one takes seconds."""
    folder = tmp_path_factory.mktemp("work")
    environment = clean_environment()
    code = (Path(__file__).parent / "runtime" / "tracking" / "open_store.py").read_text("utf-8")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, name], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    for file in folder.glob("ready_*"):
        file.unlink()
    return folder, ends


@pytest.fixture
def here(made_at_once, monkeypatch):
    """The folder of that store, as the working directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(made_at_once[0])
    return made_at_once[0]
