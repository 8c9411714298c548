"""Embeddings that are not finite are told by the document or the class they belong to."""

from __future__ import annotations

import numpy as np
import pytest

from teleclass.data.dataset import read_dataset
from teleclass.errors import TeleclassError
from teleclass.labelling.class_text import class_views
from teleclass.phases.encode import check_finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 7])
def test_the_first_text_without_a_finite_embedding_is_named(data_dir, value, column):
    data = read_dataset(data_dir)
    views = class_views(data.taxonomy)
    n_documents, n_texts = len(data.corpus), sum(map(len, views))
    rows = np.ones((n_documents + n_texts, 8), dtype=np.float32)
    check_finite(rows, data, views)
    rows[-1, column] = value
    with pytest.raises(TeleclassError, match="1 texts have no finite embedding, the first is of class 'bread_knives'"):
        check_finite(rows, data, views)
    rows[data.corpus.n_train + 2, column] = value
    with pytest.raises(TeleclassError, match="2 texts have no finite embedding, the first is document '2'"):
        check_finite(rows, data, views)
