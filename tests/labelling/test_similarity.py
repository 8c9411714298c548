"""Unit vectors, blocks of rows, softmax."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from teleclass.labelling.similarity import BLOCK_ROWS, BLOCK_VALUES, blocks, product, sample_rows, softmax, unit
from teleclass.runtime.devices import has_amx


def test_rows_have_length_one_and_a_zero_row_stays_zero():
    scaled = unit(np.array([[3, 4], [0, 0], [0, -2]]))
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0, 0], [0, -1]], atol=1e-7)
    assert scaled.dtype == np.float32


def test_unit_leaves_its_argument_alone():
    vectors = np.array([[3, 4]], dtype=np.float32)
    unit(vectors)
    assert vectors.tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("n_rows", "size", "ends"), [(0, 4, []), (3, 4, [3]), (4, 4, [4]), (5, 4, [4, 5]), (9, 4, [4, 8, 9])]
)
def test_blocks_cover_every_row_once_and_never_reach_beyond(n_rows, size, ends):
    slices = list(blocks(n_rows, BLOCK_VALUES // size))
    assert [rows.stop for rows in slices] == ends
    assert [row for rows in slices for row in range(n_rows)[rows]] == list(range(n_rows))


def test_blocks_are_never_larger_than_their_default():
    assert {rows.stop - rows.start for rows in blocks(2 * BLOCK_ROWS)} == {BLOCK_ROWS}


@pytest.mark.parametrize("n_columns", [1, 531, 10_000, 3_000_000, 2 * BLOCK_VALUES])
def test_a_blocks_matrix_is_bounded_whatever_the_columns(n_columns):
    largest = max(rows.stop - rows.start for rows in blocks(10_000, n_columns))
    assert largest == 1 or largest * n_columns <= BLOCK_VALUES


def test_a_sample_is_ascending_without_repetition_and_always_the_same():
    rows = sample_rows(1000, 100)
    assert len(rows) == 100
    assert (np.diff(rows) > 0).all()
    assert 0 <= rows[0] < 100
    assert 900 <= rows[-1] < 1000
    np.testing.assert_array_equal(rows, sample_rows(1000, 100))
    np.testing.assert_array_equal(sample_rows(5, 100), np.arange(5))


@pytest.fixture
def factors():
    """Unit vectors of 300 classes, and 1,024 documents as they lie in a file that may only be read."""
    rng = np.random.default_rng(3)
    classes, documents = unit(rng.normal(size=(300, 384))), unit(rng.normal(size=(1024, 384)))
    documents.flags.writeable = False
    return classes, documents


def as_multiplied(matrix: np.ndarray) -> np.ndarray:
    """What this machine's products are to see of a factor, in fp64."""
    factor = torch.from_numpy(matrix.copy())
    return (factor.bfloat16() if has_amx() else factor).double().numpy()


def test_a_product_is_that_of_its_factors_rounded_where_the_cpu_is_fast_at_it_with_fp32_sums(factors):
    classes, documents = factors
    posterior = np.random.default_rng(4).random((1024, 300), dtype=np.float32)
    for left, right in ((classes, documents.T), (posterior.T, documents)):
        np.testing.assert_allclose(product(left, right), as_multiplied(left) @ as_multiplied(right), atol=1e-5)


def test_a_product_warns_of_nothing_and_leaves_torch_as_it_was(factors, monkeypatch):
    """What training asks of its own products is not to change because documents were labelled before."""
    monkeypatch.setattr("teleclass.labelling.similarity.has_onednn_products", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        product(factors[0], factors[1].T)
    assert torch.get_float32_matmul_precision() == "highest"


def test_threads_that_multiply_at_once_leave_torch_as_it_was(factors, monkeypatch):
    monkeypatch.setattr("teleclass.labelling.similarity.has_onednn_products", lambda: True)
    expected = product(factors[0], factors[1].T)
    with ThreadPoolExecutor(4) as pool:
        products = list(pool.map(lambda _: product(factors[0], factors[1].T), range(200)))
    assert all((one == expected).all() for one in products)
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_document_that_is_no_number_stays_so_alone(factors):
    classes, documents = factors
    broken = documents.copy()
    broken[7, 3] = np.nan
    scores = product(classes, broken.T)
    assert np.isnan(scores[:, 7]).all()
    assert np.isfinite(np.delete(scores, 7, axis=1)).all()


def test_softmax_by_hand_and_without_overflow():
    """exp(0), exp(ln 3) over their sum 4; a shift of 10,000 changes nothing."""
    scores = np.array([[0, np.log(3)], [10_000, 10_000 + np.log(3)], [-10_000, -10_000 + np.log(3)]])
    np.testing.assert_allclose(softmax(scores), [[0.25, 0.75]] * 3, atol=1e-9)


@pytest.mark.parametrize("far", [-1e4, 1e4])
def test_a_row_far_to_one_side_of_zero_has_probabilities_too(far):
    scores = np.array([[0.0, 0.0], [far, far]], dtype=np.float32)
    np.testing.assert_array_equal(softmax(scores), np.full((2, 2), 0.5))


def test_a_score_far_below_the_best_gets_no_probability_and_no_nan():
    np.testing.assert_array_equal(softmax(np.array([[0.0, -1e30]], dtype=np.float32)), [[1, 0]])


@pytest.mark.parametrize(
    ("bound", "largest"),
    [(bound, largest) for largest in (0.0, 78.0, 88.0, 1e4) for bound in (largest, np.inf, np.nan)],
)
def test_scores_that_exp_can_take_are_taken_as_they_are_and_others_less_their_largest(bound, largest):
    scores = np.array([[largest, -largest, 0.0], [-largest, -largest, -largest]], dtype=np.float32)
    exact = scores.astype(np.longdouble)
    exact = np.exp(exact - exact.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    with np.errstate(all="raise", under="ignore"):
        found = softmax(scores.copy(), 0.5, bound)
    np.testing.assert_allclose(found, 0.5 * exact.astype(float), rtol=2e-5, atol=1e-37)
