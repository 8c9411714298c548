"""Words and phrases of a corpus, and finding given terms in it."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.labelling.phrases import PhraseConfig, find_terms, mentioned_classes, mine_terms, tokens_of

FILLER = [f"word{number}x" for number in range(40)]


def corpus_with(*sentences: str, times: int = 6) -> list[str]:
    """Each sentence in ``times`` documents, among words that stand anywhere."""
    rng = np.random.default_rng(1)
    texts = []
    for sentence in sentences:
        for _ in range(times):
            around = rng.choice(FILLER, size=30)
            texts.append(f"{' '.join(around[:15])}. {sentence}. {' '.join(around[15:])}")
    return texts


def mined(texts, **settings_of) -> set[str]:
    return set(mine_terms(texts, PhraseConfig(**{"min_frequency": 5, **settings_of})).terms)


# --- words


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Beef JERKY, dried", ["beef", "jerky", ",", "dried"]),
        ("the dog's t-shirt", ["the", "dog's", "t-shirt"]),
        ("the dog’s t‑shirt", ["the", "dog's", "t-shirt"]),
        ("board_game salt & pepper and/or", ["board", "game", "salt", "pepper", "and", "or"]),
        ("C++ and C#, item #5 x#y", ["c++", "and", "c#", ",", "item", "#", "5", "x", "#", "y"]),
        ("good - bad 'quoted'", ["good", "-", "bad", "'", "quoted", "'"]),
        ("one\ntwo\u2028three", ["one", "\n", "two", "\u2028", "three"]),
        ("Café CAFE\u0301 größer", ["café", "café", "größer"]),
        ("", []),
        (" \t_ &", []),
    ],
)
def test_words_keep_inner_marks_and_punctuation_is_a_token(text, tokens):
    assert tokens_of(text) == tokens


# --- mining


def test_phrases_of_two_and_more_words_are_found():
    terms = mined(corpus_with("hot sauce", "point of view", "random number generator"), max_words=4)
    assert {"hot sauce", "sauce", "point of view", "random number generator"} <= terms


def test_a_phrase_is_no_longer_than_asked():
    texts = corpus_with("alpha beta gamma delta")
    assert max(term.count(" ") for term in mined(texts, max_words=2)) == 1
    assert "alpha beta gamma delta" in mined(texts, max_words=4)
    assert all(" " not in term for term in mined(texts, max_words=1))


@pytest.mark.parametrize("between", [", ", ". ", "; ", " - ", "\n", " (", "... ", "\u2028"], ids=repr)
def test_no_phrase_crosses_punctuation_or_a_line(between):
    assert "hot sauce" in mined(corpus_with("hot sauce"))
    assert "hot sauce" not in mined(corpus_with(f"hot{between}sauce"))


def test_no_phrase_crosses_from_one_text_into_the_next():
    texts = ["nice hot", "sauce here"] * 8
    assert mined(texts) >= {"hot", "sauce"}
    assert not mined(texts) & {"hot sauce", "here nice"}


def test_stop_words_neither_begin_nor_end_a_phrase_and_are_no_terms():
    terms = mined(corpus_with("the view of the sea", "it's a trap they don't like"), max_words=4, min_npmi=-1)
    assert "view of the sea" in terms
    for term in terms:
        words = term.split()
        assert not {words[0], words[-1]} & {"the", "of", "it's", "a", "they", "don't"}, term


def test_numbers_and_single_letters_are_no_terms_unless_a_word_stands_beside_them():
    terms = mined(corpus_with("vitamin c", "windows 95", "9 x 12", "10-20 b"), min_npmi=-1)
    assert {"vitamin c", "windows 95"} <= terms
    assert not terms & {"c", "95", "9", "x", "12", "10-20", "b", "9 x", "x 12", "9 x 12", "10-20 b"}


def test_a_term_stands_in_enough_documents_however_often_it_stands_in_one():
    texts = ["rare rare rare rare rare rare plain"] * 4 + ["plain words here"]
    assert mined(texts) == {"plain"}
    assert "rare" in mined(texts, min_frequency=4)


def test_words_that_meet_by_chance_are_no_phrase():
    """Both words are everywhere, and stand together in a third of the documents; "hot sauce" only ever together."""
    rng = np.random.default_rng(2)
    texts = [" ".join(rng.permutation([*FILLER, "great", "thing"])) + (" hot sauce" * (row < 9)) for row in range(300)]
    texts += ["great thing"] * 9
    assert "great thing" in mined(texts, min_npmi=-1)
    terms = mined(texts)
    assert "hot sauce" in terms
    assert "great thing" not in terms


def test_a_longer_phrase_is_judged_by_its_best_split():
    """ "new york" is one unit: that any word may follow it makes no three-word phrase of the pair and "great"."""
    texts = [f"new york {word}. {word} {other}." for word in FILLER for other in ("great", "fine") * 2]
    texts += [f"new york great. {word} great" for word in FILLER[:8] * 4]
    assert "new york great" in mined(texts, min_npmi=-1)
    assert "new york" in mined(texts, min_npmi=0.3)
    assert "new york great" not in mined(texts, min_npmi=0.3)


def test_the_most_frequent_terms_come_first_and_only_so_many():
    texts = ["apple pear"] * 9 + ["apple"] * 3 + ["pear fig"] * 6 + ["zebra"] * 12
    config = PhraseConfig(min_frequency=5, max_words=1)
    assert mine_terms(texts, config).terms == ["pear", "apple", "zebra", "fig"]
    few = mine_terms(texts, PhraseConfig(min_frequency=5, max_words=1, max_terms=2))
    assert few.terms == ["pear", "apple"]
    assert few.counts.shape == (30, 2)
    assert few.document_frequency.tolist() == [15, 12]


def test_counts_are_term_frequencies_by_document():
    found = mine_terms(["Fish fish, FISH", "a fish", "none", ""] * 3, PhraseConfig(min_frequency=3, max_words=1))
    assert found.terms == ["fish"]
    assert found.counts.dtype == np.int32
    assert found.counts.toarray().ravel().tolist() == [3, 1, 0, 0] * 3
    assert found.document_frequency.tolist() == [6]


@pytest.mark.parametrize("texts", [[], [""], ["", " . "], ["the", "of the"]], ids=str)
def test_a_corpus_without_words_has_no_terms(texts):
    found = mine_terms(texts, PhraseConfig(min_frequency=1))
    assert found.terms == []
    assert found.counts.shape == (len(texts), 0)
    assert found.document_frequency.tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["ab", "cd", "ef", "the", ",", "7"]), max_size=9), max_size=8))
def test_mined_counts_are_those_of_a_direct_count(documents):
    """Every span without a comma that fits the rules and stands in two texts, and no other."""
    texts = [" ".join(words) for words in documents]
    found = mine_terms(texts, PhraseConfig(min_frequency=2, max_words=3, min_npmi=-1))
    counts = [Counter() for _ in texts]
    for own, words in zip(counts, documents, strict=True):
        for start in range(len(words)):
            for end in range(start + 1, min(len(words), start + 3) + 1):
                span = words[start:end]
                if "," not in span and "the" not in (span[0], span[-1]) and set(span) & {"ab", "cd", "ef"}:
                    own[" ".join(span)] += 1
    frequency = Counter(term for own in counts for term in own)
    assert set(found.terms) == {term for term, number in frequency.items() if number >= 2}
    for column, term in enumerate(found.terms):
        assert found.counts[:, [column]].toarray().ravel().tolist() == [own[term] for own in counts]
        assert found.document_frequency[column] == frequency[term]


# --- finding


@pytest.mark.parametrize(
    ("term", "text", "times"),
    [
        ("jerky", "Jerky, jerky. (JERKY) jerkyness beef-jerky", 3),
        ("board_games", "Board games; a board game, the board  games", 2),
        ("salt & pepper", "salt & pepper, salt/pepper, salt, pepper", 2),
        ("node.js", "Node.js (node.js!) node js", 2),
        ("U.S. Navy", "the U.S. Navy's ship and the u.s. navy.", 1),
        ("c++", "C++, c and c#", 1),
        ("one two three four five six", "one two three four five six seven", 1),
        ("the who", "The Who", 1),
        ("7", "7 of 77", 1),
        ("ha ha", "ha ha ha", 2),
        ("?!", "what?! ?!", 0),
        ("", "anything", 0),
        ("'quoted'", "quoted", 1),
    ],
)
def test_a_given_term_is_found(term, text, times):
    assert find_terms([text], [term]).toarray().tolist() == [[times]]


def test_terms_within_each_other_and_the_same_term_twice_are_each_counted():
    terms = ["new york", "york", "new york times", "New_York", "absent"]
    found = find_terms(["the new york times of York", "", "new. york"], terms)
    assert found.dtype == np.int32
    assert found.toarray().tolist() == [[1, 2, 1, 1, 0], [0] * 5, [0, 1, 0, 0, 0]]


def test_nothing_is_found_in_nothing():
    assert find_terms([], ["x"]).shape == (0, 1)
    assert find_terms(["x"], []).shape == (1, 0)
    assert find_terms(["x"], ["y"]).nnz == 0


def test_mined_terms_are_found_as_often_as_they_were_counted():
    mined_terms = mine_terms(corpus_with("hot sauce", "point of view"), PhraseConfig())
    found = find_terms(corpus_with("hot sauce", "point of view"), mined_terms.terms)
    assert found.nnz
    assert (found != mined_terms.counts).nnz == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text("ab ,", max_size=12), max_size=4),
    st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=3), max_size=5),
)
def test_found_counts_are_those_of_a_regular_expression(texts, terms):
    found = find_terms(texts, [" ".join(words) for words in terms]).toarray()
    for row, text in enumerate(texts):
        for column, words in enumerate(terms):
            # a lookahead counts overlapping matches too
            pattern = rf"(?<![ab])(?={' +'.join(words)}(?![ab]))"
            assert found[row, column] == len(re.findall(pattern, text))


def test_a_text_mentions_the_classes_whose_terms_stand_in_it():
    texts = ["ripe apple and crust", "a Crust, a crust", "nothing"]
    mentions = mentioned_classes(texts, {0: ["apple", "pear"], 2: ["crust", "ripe apple"], 3: ["pear"]}, 4)
    assert mentions.dtype == bool
    assert mentions.toarray().astype(int).tolist() == [[1, 0, 1, 0], [0, 0, 1, 0], [0] * 4]
    assert mentioned_classes(texts, {}, 4).shape == (3, 4)


@pytest.mark.parametrize(
    "setting", [{"min_frequency": 0}, {"max_words": 0}, {"max_terms": 0}, {"min_npmi": 1.1}, {"min_npmi": -2}], ids=str
)
def test_a_setting_out_of_range_is_refused_by_its_name(setting):
    with pytest.raises(ValueError, match=f"phrases.{next(iter(setting))}"):
        PhraseConfig(**setting)
