"""Part of label: key terms of classes, from the user, a language model or the corpus, and the class vectors of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from teleclass.data.dataset import Dataset
from teleclass.data.published import read_corpus_terms, read_llm_terms
from teleclass.labelling.affinity import EnrichmentConfig, class_terms
from teleclass.labelling.class_text import class_views, readable
from teleclass.labelling.key_terms import ClassTerms, key_term_requests, key_terms_of
from teleclass.labelling.phrases import PhraseConfig, mine_terms
from teleclass.labelling.prompting import read_prompt
from teleclass.labelling.similarity import sample_rows, unit
from teleclass.model.embedding import EncoderConfig, embed
from teleclass.runtime.console import log
from teleclass.runtime.llm import LanguageModel, LlmConfig


def written_terms(
    data: Dataset, asked: LanguageModel | None, llm: LlmConfig, enrichment: EnrichmentConfig
) -> ClassTerms:
    """The user's keywords, and the language model's terms for the classes without."""
    taxonomy = data.taxonomy
    terms = ClassTerms(given=dict(taxonomy.keywords))
    without = [node for node in range(taxonomy.n_classes) if node not in taxonomy.keywords]
    ways = [f"keywords given for {len(terms.given)} classes"] if terms.given else []
    published = read_llm_terms(data.folder, taxonomy, data.mender)
    if published is not None:
        terms.written = {node: published[node] for node in without if node in published}
        if terms.written:
            ways.append(f"terms for {len(terms.written)} classes read from llm_enrichment.txt")
    elif asked is not None and llm.does("enrich") and without:
        prompt = read_prompt("enrich", Path(llm.prompts) if llm.prompts else None)
        requests = key_term_requests(taxonomy, without, prompt, enrichment.llm_terms, llm.document_kind)
        terms.written = key_terms_of(
            taxonomy, without, asked.complete(requests, "asking for key terms"), enrichment.llm_terms
        )
        ways.append(f"terms of the language model for {len(terms.written)} of {len(without)} classes without keywords")
        if asked.stopped:
            log.info("  the language model: %s; the other classes go by their names", asked.stopped)
    terms.way = "; ".join(ways) or "names alone, made up for by the corpus"
    return terms


def class_vectors_of(
    data: Dataset, terms: dict[int, list[str]], encoder: EncoderConfig, scratch: Path, known: np.ndarray
) -> np.ndarray:
    """Class vectors with more terms, (C, D); classes without any keep the vectors ``known``."""
    changed = sorted(node for node in terms if node not in data.taxonomy.keywords)
    if not changed:
        return known
    views = class_views(data.taxonomy, terms)
    rows = embed([text for node in changed for text in views[node]], encoder, scratch)
    vectors = np.array(known)
    start = 0
    for node in changed:
        vectors[node] = rows[start : start + len(views[node])].mean(axis=0)
        start += len(views[node])
    return unit(vectors)


def mined_terms(
    data: Dataset,
    memberships: sparse.csr_matrix,
    encoder: EncoderConfig,
    scratch: Path,
    phrases: PhraseConfig,
    enrichment: EnrichmentConfig,
) -> tuple[dict[int, list[str]], str]:
    """Terms of the corpus for every class, by affinity, and in words where they come from.

    Parameters
    ----------
    memberships : (training documents, C), pseudo labels.
    """
    published = read_corpus_terms(data.folder, data.taxonomy, data.mender)
    if published is not None:
        return published, f"corpus terms of {len(published)} classes read from enrichment.txt"
    if not enrichment.corpus_terms:
        return {}, ""
    taxonomy, corpus = data.taxonomy, data.corpus

    def similarity_of(terms: list[str]) -> np.ndarray:
        names = [readable(name) for name in taxonomy.names]
        rows = embed([*terms, *names], encoder, scratch)
        return rows[: len(terms)] @ rows[len(terms) :].T

    rows = sample_rows(corpus.n_train, phrases.max_documents)
    found = class_terms(
        mine_terms(corpus.texts[rows], phrases), sparse.csr_matrix(memberships[rows]), taxonomy, similarity_of,
        enrichment,
    )  # fmt: skip
    mined = {node: [term for term, _ in terms] for node, terms in found.items()}
    part = f" in {len(rows):,} documents" if len(rows) < corpus.n_train else ""
    return mined, f"corpus terms mined for {len(mined)} classes{part}"


def check(data: Dataset, llm: LlmConfig) -> None:
    """Read what could be faulty before any work: published terms, and the user's prompts."""
    read_llm_terms(data.folder, data.taxonomy, data.mender)
    read_corpus_terms(data.folder, data.taxonomy, data.mender)
    for task in ("enrich", "annotate", "generate"):
        if llm.does(task):
            read_prompt(task, Path(llm.prompts) if llm.prompts else None)
