"""The stand-in for scipy's sparse matrix gives what scipy's gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from teleclass.labelling import sparse
from teleclass.labelling.sparse import Rows


def test_scipys_own_is_used_where_it_is_installed():
    assert sparse.csr_matrix is csr_matrix


@st.composite
def dense_matrices(draw):
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    values = draw(
        st.lists(st.sampled_from([0, 0, 1, 2, -3]), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    )
    return np.array(values, dtype=np.float32).reshape(shape)


@settings(max_examples=60, deadline=None)
@given(dense_matrices(), st.integers(0, 2**31))
def test_products_rows_and_transpose_are_scipys(dense, seed):
    theirs = csr_matrix(dense)
    ours = Rows((theirs.data, theirs.indices, theirs.indptr), theirs.shape)
    draw = np.random.default_rng(seed)
    right = draw.normal(size=(dense.shape[1], 3)).astype(np.float32)
    left = draw.normal(size=(dense.shape[0], 2)).astype(np.float32)
    np.testing.assert_allclose(ours @ right, theirs @ right, atol=1e-5)
    np.testing.assert_allclose(ours @ right[:, 0], theirs @ right[:, 0], atol=1e-5)
    np.testing.assert_allclose(ours.T.tocsr() @ left, theirs.T.tocsr() @ left, atol=1e-5)
    rows = draw.integers(0, dense.shape[0], 4)
    np.testing.assert_allclose(ours[rows] @ right, theirs[rows] @ right, atol=1e-5)
    np.testing.assert_array_equal(ours[rows].indices, theirs[rows].indices)
    mask = draw.random(dense.shape[0]) < 0.5
    assert ours[mask].shape == theirs[mask].shape
    np.testing.assert_allclose(ours[mask] @ right, theirs[mask] @ right, atol=1e-5)
    assert (ours @ right).dtype == (theirs @ right).dtype


def test_a_vector_of_the_wrong_length_is_refused():
    with pytest.raises(IndexError):
        Rows((np.ones(1), np.array([5]), np.array([0, 1])), (1, 6)) @ np.ones(3)
