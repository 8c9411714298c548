"""Texts as a model's tokenizer sees them."""

from __future__ import annotations

import json

import pytest

from teleclass.model.tokens import count_tokens, mean_tokens, token_limit


def test_tokens_are_counted_whole_with_those_that_are_unknown(tiny_model):
    counts = count_tokens(tiny_model, ["ripe pear", "ripe xyzzy pear", "", "ripe " * 100])
    assert counts.lengths.tolist() == [4, 5, 2, 102]
    assert counts.unknown.tolist() == [0, 1, 0, 0]
    assert counts.unknown_share.tolist() == pytest.approx([0, 1 / 3, 0, 0])


def test_the_mean_counts_what_is_read(tiny_model):
    assert mean_tokens(tiny_model, ["ripe pear", "ripe " * 100], 64) == (4 + 64) / 2
    assert mean_tokens(tiny_model, [], 64) == 0


@pytest.mark.parametrize(
    ("sentence", "tokenizer", "asked", "limit"),
    [(256, 512, 0, 256), (None, 512, 0, 512), (256, 512, 128, 128), (256, 512, 1000, 256), (None, None, 0, 512),
     (None, int(1e30), 0, 512), (8192, int(1e30), 0, 8192)],
)  # fmt: skip
def test_the_limit_is_the_models_own_or_a_lower_one(tmp_path, sentence, tokenizer, asked, limit):
    for name, key, value in (("sentence_bert_config.json", "max_seq_length", sentence),
                             ("tokenizer_config.json", "model_max_length", tokenizer)):  # fmt: skip
        if value is not None:
            (tmp_path / name).write_text(json.dumps({key: value}))
    assert token_limit(tmp_path, asked) == limit
