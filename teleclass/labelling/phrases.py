"""Terms of a corpus: single words, and multi-word phrases whose words belong together."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from scipy import sparse

# A word keeps its inner apostrophes and hyphens, and the ends of C++ and C#. What stands between two words of one
# phrase is white space, an underscore, "&" or "/": all other punctuation, and the end of a line, is a token too.
_TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*(?:\+\+|#(?!\w))?|[^\w\s&/]+|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_SPELLING = str.maketrans({"’": "'", "ʼ": "'", "‐": "-", "‑": "-"})

BLOCK = 16_384  # texts that are searched for terms at a time


@dataclass(frozen=True)
class PhraseConfig:
    """Which words and phrases of the corpus are terms.

    The defaults come from reading mined phrases of newsgroups and of the written Amazon reviews, and of AutoPhrase's
    list published for the real ones: of the 1,483 pairs of words mined from the written ones .4 keeps 80 % (87 % of
    those that AutoPhrase rates .5 or better), .5 keeps 60 % (74 %). It rates so no phrase of four words.

    Parameters
    ----------
    min_frequency
        a term stands in at least so many documents.
    max_words
        words of the longest phrase.
    max_terms
        so many terms at most, those of most documents.
    min_npmi
        how much more often a phrase stands than its two parts would by chance, from -1 to 1.
    max_documents
        terms are mined in at most so many documents, drawn at random: each takes some kB of memory.
    """

    min_frequency: int = 5
    max_words: int = 3
    max_terms: int = 50_000
    min_npmi: float = 0.4
    max_documents: int = 65_536

    def __post_init__(self) -> None:
        for name in ("min_frequency", "max_words", "max_terms", "max_documents"):
            if getattr(self, name) < 1:
                raise ValueError(f"phrases.{name} must be 1 or more")
        if not -1 <= self.min_npmi <= 1:
            raise ValueError("phrases.min_npmi must lie between -1 and 1")


@dataclass(frozen=True)
class CorpusTerms:
    """The T terms of N documents, those of most documents first.

    Attributes
    ----------
    terms : lower-cased, the words of a phrase joined by a blank.
    counts : (N, T) int32, how often each term stands in each document.
    """

    terms: list[str]
    counts: sparse.csr_matrix

    @cached_property
    def document_frequency(self) -> np.ndarray:
        """Number of documents that hold each term, shape (T,)."""
        return np.bincount(self.counts.indices, minlength=len(self.terms))


def tokens_of(text: str) -> list[str]:
    """Words of a text in lower case, and between them the punctuation that no phrase crosses."""
    return _TOKEN.findall(unicodedata.normalize("NFC", text.lower().translate(_SPELLING)))


def mine_terms(texts: Iterable[str], config: PhraseConfig) -> CorpusTerms:
    """Mine the terms of a corpus.

    A phrase neither crosses punctuation or a line, nor begins or ends with a stop word, and is kept by the normalised
    pointwise mutual information (Bouma, GSCL 2009) of its best split. As in SegPhrase (Liu et al., SIGMOD 2015,
    section 4.1) that is the split whose two parts explain the phrase best, the one of least mutual information.
    Candidates grow a word at a time and only out of frequent ones, so that memory stays near that of the corpus.
    """
    vocabulary = _Vocabulary()
    stream = _Stream(texts, vocabulary.__getitem__)
    n_words = max(2, int((stream.tokens > 0).sum()))
    levels: list[_Level] = []
    for length in range(1, config.max_words + 1):
        begins = stream.tokens - 1 if length == 1 else _extend(levels[-1].begins)
        levels.append(_frequent(begins, stream, config.min_frequency))
        if not levels[-1].counts.nnz:
            break

    is_stop, is_word = vocabulary.flags()
    terms: list[str] = []
    counts = []
    for length, level in enumerate(levels, start=1):
        words = stream.tokens[level.example[:, None] + np.arange(length)]
        fit = ~is_stop[words[:, 0]] & ~is_stop[words[:, -1]] & is_word[words].any(axis=1)
        if length > 1:
            fit &= _npmi(level, levels, length, n_words) >= config.min_npmi
        terms.extend(" ".join(vocabulary.words[word] for word in row) for row in words[fit])
        counts.append(level.counts[:, np.flatnonzero(fit)])
    together = sparse.csr_matrix(sparse.hstack(counts, format="csr", dtype=np.int32))
    frequency = np.bincount(together.indices, minlength=len(terms))
    order = sorted(range(len(terms)), key=lambda column: (-frequency[column], terms[column]))[: config.max_terms]
    chosen = sparse.csr_matrix(together[:, order])
    chosen.sort_indices()
    return CorpusTerms([terms[column] for column in order], chosen)


def find_terms(texts: Iterable[str], terms: Sequence[str]) -> sparse.csr_matrix:
    """Count given terms, of any length, in texts.

    Upper and lower case are one, an underscore is a blank, and the punctuation around a term does not matter; that
    within it does ("node.js" is not "node, js"). A term without any word stands nowhere.

    Returns
    -------
    (texts, terms) int32.
    """
    known: dict[str, int] = {}
    children: dict[tuple[int, int], int] = {}  # (node, word) -> node of a prefix tree; its root is node 0
    ends: list[tuple[int, int]] = []
    for column, term in enumerate(terms):
        spelled = tokens_of(term)
        while spelled and not spelled[-1][0].isalnum():
            spelled.pop()
        while spelled and not spelled[0][0].isalnum():
            spelled.pop(0)
        node = 0
        for token in spelled:
            step = (node, known.setdefault(token, len(known) + 1))
            node = children.setdefault(step, len(children) + 1)
        if spelled:
            ends.append((node, column))

    stream = _Stream(texts, lambda token: known.get(token, 0))
    size = len(known) + 1
    by_key = sorted((node * size + word, child) for (node, word), child in children.items())
    keys, targets = np.array(by_key, dtype=np.int64).reshape(-1, 2).T
    is_end = np.zeros(len(children) + 1, dtype=bool)
    is_end[np.array([node for node, _ in ends], dtype=np.int64)] = True
    at = np.flatnonzero(stream.tokens)
    node_at = np.zeros(len(at), dtype=np.int64)
    rows, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    depth = 0
    while len(at):
        key = node_at * size + stream.tokens[at + depth]
        place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        hit = keys[place] == key
        at, node_at = at[hit], targets[place[hit]]
        here = is_end[node_at]
        rows.append(stream.row_of(at[here]))
        found.append(node_at[here])
        depth += 1
    row, node_found = np.concatenate(rows), np.concatenate(found)
    seen = sparse.csr_matrix(
        (np.ones(len(row), np.int32), (row, node_found)), shape=(stream.n_texts, len(children) + 1)
    )
    columns = [column for _, column in ends]
    spells = sparse.csr_matrix(
        (np.ones(len(ends), np.int32), ([node for node, _ in ends], columns)), shape=(len(children) + 1, len(terms))
    )
    counts = sparse.csr_matrix(seen @ spells)
    counts.sort_indices()
    return counts


def mentioned_classes(texts: Iterable[str], terms: Mapping[int, Sequence[str]], n_classes: int) -> sparse.csr_matrix:
    """Which classes each text mentions a term of, (texts, C) bool.

    Parameters
    ----------
    terms : by class position.
    """
    every = sorted({term for own in terms.values() for term in own})
    column = {term: number for number, term in enumerate(every)}
    owned = sparse.lil_matrix((len(every), n_classes), dtype=np.int32)
    for node, own in terms.items():
        for term in own:
            owned[column[term], node] = 1
    iterator, parts = iter(texts), [sparse.csr_matrix((0, n_classes), dtype=bool)]
    while some := list(islice(iterator, BLOCK)):
        parts.append(sparse.csr_matrix(find_terms(some, every) @ owned.tocsr() > 0))
    return sparse.csr_matrix(sparse.vstack(parts, format="csr"))


class _Vocabulary(dict[str, int]):
    """Numbers the words of a corpus as they come, from 1; punctuation is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.words = [""]

    def __missing__(self, token: str) -> int:
        number = 0
        if token[0].isalnum():
            number = len(self.words)
            self.words.append(token)
        self[token] = number
        return number

    def flags(self) -> tuple[np.ndarray, np.ndarray]:
        """By word number: whether it is a stop word, and whether it can be a term by itself."""
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        def stops(word: str) -> bool:
            # the list holds no contraction: "it's", "don't", "i'm" count as their first part does
            stem, apostrophe, _ = word.partition("'")
            return stem in ENGLISH_STOP_WORDS or (bool(apostrophe) and (len(stem) == 1 or word.endswith("n't")))

        stop = np.array([stops(word) for word in self.words])
        letters = np.array([len(word) > 1 and any(map(str.isalpha, word)) for word in self.words])
        return stop, letters & ~stop


class _Stream:
    """A corpus as one row of token numbers, each text followed by a 0.

    Attributes
    ----------
    tokens : (tokens,) int32.
    starts : (n_texts + 1,), where each text begins.
    """

    def __init__(self, texts: Iterable[str], number_of: Callable[[str], int]) -> None:
        tokens = array("i")
        starts = [0]
        for text in texts:
            tokens.extend(map(number_of, tokens_of(text)))
            tokens.append(0)
            starts.append(len(tokens))
        self.tokens = np.frombuffer(tokens, dtype=np.int32) if tokens else np.zeros(0, np.int32)
        self.starts = np.array(starts)

    @property
    def n_texts(self) -> int:
        return len(self.starts) - 1

    def row_of(self, positions: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.starts, positions, side="right") - 1


@dataclass(frozen=True)
class _Level:
    """The frequent phrases of one length: which begins at each token (-1 for none), counts, a place of each."""

    begins: np.ndarray
    counts: sparse.csr_matrix
    example: np.ndarray

    @cached_property
    def occurrences(self) -> np.ndarray:
        return np.bincount(self.counts.indices, weights=self.counts.data, minlength=self.counts.shape[1])


def _extend(begins: np.ndarray) -> np.ndarray:
    """Number the phrases one word longer: two frequent ones that overlap in all but their first and last word."""
    longer = np.full(len(begins), -1, dtype=np.int32)
    at = np.flatnonzero((begins[:-1] >= 0) & (begins[1:] >= 0))
    key = begins[at].astype(np.int64) * (int(begins.max(initial=0)) + 1) + begins[at + 1]
    longer[at] = np.unique(key, return_inverse=True)[1]
    return longer


def _frequent(begins: np.ndarray, stream: _Stream, min_frequency: int) -> _Level:
    at = np.flatnonzero(begins >= 0)
    n_phrases = int(begins.max(initial=-1)) + 1
    counts = sparse.csr_matrix(
        (np.ones(len(at), np.int32), begins[at], np.searchsorted(at, stream.starts)), shape=(stream.n_texts, n_phrases)
    )
    counts.sum_duplicates()
    kept = np.flatnonzero(np.bincount(counts.indices, minlength=n_phrases) >= min_frequency)
    number = np.full(n_phrases + 1, -1, dtype=np.int32)  # its last entry is that of -1, no phrase
    number[kept] = np.arange(len(kept))
    begins = number[begins]
    at = np.flatnonzero(begins >= 0)
    example = np.zeros(len(kept), dtype=np.int64)
    example[begins[at]] = at
    return _Level(begins, sparse.csr_matrix(counts[:, kept]), example)


def _npmi(level: _Level, levels: list[_Level], length: int, n_words: int) -> np.ndarray:
    """Normalised pointwise mutual information of each phrase's best split, shape (phrases,)."""
    log_share = np.log(level.occurrences / n_words)
    least = np.full(len(level.example), np.inf)
    for left in range(1, length):
        first, second = levels[left - 1], levels[length - left - 1]
        parts = first.occurrences[first.begins[level.example]] * second.occurrences[second.begins[level.example + left]]
        least = np.minimum(least, log_share - np.log(parts / n_words**2))
    return least / np.maximum(-log_share, 1e-9)
