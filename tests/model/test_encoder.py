"""The sentence encoder against sentence-transformers' own encoding."""

import numpy as np
import pytest

from teleclass.model.encoder import SentenceEncoder
from teleclass.model.encoding import embedding_dimension
from teleclass.model.sources import find_model

TEXTS = [
    "a ripe apple",
    "",
    "A Folding LADDER with five steps",
    "words, that nobody-knows.",
    "  apple \n",
    "the loaf had a dark crust, best bakery in town " * 20,  # beyond the 64 tokens of the tiny model
    "knife",
]


def own_vectors(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(TEXTS, normalize_embeddings=True)


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return SentenceEncoder(tiny_model, "cpu")


@pytest.mark.parametrize("model", ["tiny", "bundled"])
def test_vectors_equal_sentence_transformers_own(tiny_model, model):
    folder = tiny_model if model == "tiny" else find_model("bundled")
    encoder = SentenceEncoder(folder, "cpu")
    vectors = encoder.encode(TEXTS, 4096)
    np.testing.assert_allclose(vectors, own_vectors(folder), atol=1e-5)
    assert vectors.dtype == np.float32
    assert encoder.dimension == embedding_dimension(folder) == vectors.shape[1]


def test_an_empty_text_has_a_vector_of_length_one_of_its_own(encoder):
    empty, text = encoder.encode(["", "a ripe apple"], 4096)
    assert np.linalg.norm(empty) == pytest.approx(1, abs=1e-5)
    assert np.abs(empty - text).max() > 1e-3
    np.testing.assert_allclose(encoder.encode([""], 4096)[0], empty, atol=1e-5)


@pytest.mark.parametrize("budget", [1, 16, 70, 200])
def test_any_batch_budget_gives_the_same_vectors(encoder, budget):
    np.testing.assert_allclose(encoder.encode(TEXTS, budget), encoder.encode(TEXTS, 4096), atol=1e-5)


def test_texts_are_cut_at_the_given_tokens_but_never_beyond_the_models_own_limit(tiny_model, encoder):
    short = SentenceEncoder(tiny_model, "cpu", max_tokens=5)  # of which two are special
    long, cut = "ripe apple pear knife blade", "ripe apple pear"
    np.testing.assert_allclose(short.encode([long], 4096), encoder.encode([cut], 4096), atol=1e-5)
    assert np.abs(encoder.encode([long], 4096) - encoder.encode([cut], 4096)).max() > 1e-3
    assert SentenceEncoder(tiny_model, "cpu", max_tokens=1000).max_tokens == 64


def test_no_texts_give_no_rows(encoder):
    assert encoder.encode([], 4096).shape == (0, 32)


@pytest.mark.parametrize("pooling", ["cls", "max"])
def test_models_that_do_not_take_the_mean_are_computed_by_their_own_modules(tiny_model, tmp_path, pooling):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    modules = [Transformer(str(tiny_model), max_seq_length=64), Pooling(32, pooling)]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path))
    encoder = SentenceEncoder(tmp_path, "cpu")
    assert not encoder.is_packed
    np.testing.assert_allclose(encoder.encode(TEXTS, 70), own_vectors(tmp_path), atol=1e-5)


def test_modules_behind_the_mean_are_applied(tiny_model, tmp_path):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Pooling, Transformer

    torch.manual_seed(0)
    modules = [Transformer(str(tiny_model), max_seq_length=64), Pooling(32, "mean"), Dense(32, 7)]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path))
    encoder = SentenceEncoder(tmp_path, "cpu")
    assert encoder.is_packed
    assert encoder.encode(["apple"]).shape == (1, 7)
    np.testing.assert_allclose(encoder.encode(TEXTS, 70), own_vectors(tmp_path), atol=1e-5)


def test_in_bf16_every_vector_is_within_1e_4_of_fp32():
    """Cosine, on texts of all lengths, by the bundled model; with layer norms in bf16 too they reach 1e-4."""
    folder = find_model("bundled")
    texts = [*TEXTS, *("A kettle that whistles, boils fast and pours badly. " * n for n in range(1, 20))]
    vectors = SentenceEncoder(folder, "cpu", "bfloat16").encode(texts)
    exact = SentenceEncoder(folder, "cpu").encode(texts)
    difference = 1 - (vectors.astype(np.float64) * exact).sum(axis=1)
    assert 1e-8 < difference.max() < 5e-5


def test_bf16_weights_give_float32_vectors_of_length_one_near_the_fp32_ones(tiny_model, encoder):
    vectors = SentenceEncoder(tiny_model, "cpu", "bfloat16").encode(TEXTS, 4096)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosine = (vectors * encoder.encode(TEXTS, 4096)).sum(axis=1)
    assert (cosine > 0.99).all()
