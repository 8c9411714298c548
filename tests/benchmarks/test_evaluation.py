"""Which documents are evaluated: several paths, inner classes, no test corpus, no gold."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import write_lines

from benchmarks.evaluation import Filed, decode, evaluate, filed_gold, training_gold
from teleclass.data.dataset import read_dataset
from teleclass.errors import InputError
from teleclass.labelling.decoding import Decoder, DecodingConfig
from teleclass.labelling.paths import index_paths
from teleclass.labelling.similarity import BLOCK_ROWS


def test_gold_belongs_to_the_documents_of_its_own_corpus(data_dir):
    """Document g has none; the row after it is h's."""
    data = read_dataset(data_dir)
    gold, training = filed_gold(data), training_gold(data)
    assert gold.rows.tolist() == [0, 1, 2, 3]
    assert gold.labels[2] == {0, 2, 6}
    assert training.rows.tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert training.labels[-1] == {3, 5}


def test_without_a_test_corpus_the_training_documents_are_evaluated(data_dir):
    (data_dir / "test" / "test_corpus.txt").unlink()
    data = read_dataset(data_dir)
    gold = filed_gold(data)
    assert gold.rows.tolist() == training_gold(data).rows.tolist()
    perfect = [set() for _ in range(8)]
    for row, labels in zip(gold.rows, gold.labels, strict=True):
        perfect[row] = labels
    assert evaluate(Filed(perfect, np.zeros((8, 7))), gold, data)["example_f1"] == 1.0


def test_several_paths_and_inner_classes_are_gold_like_any_other(data_dir):
    write_lines(data_dir / "test" / "test_labels.txt", {"1": "10,11,20,22", "3": "20"})
    data = read_dataset(data_dir)
    gold = filed_gold(data)
    assert gold.rows.tolist() == [1, 3]
    filed = Filed([{6}, {0, 1}, {6}, {3, 5}], np.tile(np.arange(7.0)[::-1], (4, 1)))
    metrics = evaluate(filed, gold, data)
    assert metrics["example_f1"] == pytest.approx((2 * 2 / 6 + 2 / 3) / 2)
    assert metrics["precision_at_1"] == 0.5


def test_without_any_gold_for_what_is_filed_there_is_nothing_to_measure(data_dir):
    (data_dir / "test" / "test_labels.txt").unlink()
    with pytest.raises(InputError, match=r"test_labels.txt: no document that is filed has gold"):
        filed_gold(read_dataset(data_dir))


def test_documents_are_filed_in_blocks_as_they_are_alone(taxonomy):
    paths = index_paths(taxonomy)
    decoder = Decoder(taxonomy, paths, DecodingConfig())
    posterior = np.random.default_rng(0).dirichlet(np.ones(paths.n_paths), BLOCK_ROWS + 5)
    filed = decode(lambda rows: posterior[rows], len(posterior), paths, decoder)
    assert filed.labels[-1] == set(decoder.decode(posterior[-1:])[0])
    assert filed.scores == pytest.approx(paths.marginals(posterior), abs=1e-6)
