"""Timing a few batches of the real model."""

from __future__ import annotations

import time

import torch
from conftest import TRAIN

from teleclass.model.probe import _tokens_per_second, measure_pace
from teleclass.model.tokens import count_tokens


def test_encoding_prediction_and_training_are_timed_and_threads_are_given_back(tiny_model):
    threads = torch.get_num_threads()
    pace = measure_pace((tiny_model, 64), (tiny_model, 64), list(TRAIN.values()), 7, "cpu", 4, seconds=0.05)
    assert min(pace.encode, pace.predict, pace.train) > 0
    assert torch.get_num_threads() == threads


def test_the_pace_is_that_of_the_median_batch_without_the_first(tiny_model):
    from teleclass.model.batching import tokenize
    from teleclass.model.tokens import _tokenizer

    texts = ["ripe pear"] * 4
    tokens = tokenize(_tokenizer(tiny_model), texts, 64)
    assert tokens.lengths.tolist() == count_tokens(tiny_model, texts).lengths.tolist() == [4] * 4
    sleeps = iter([0.4, 0.1, 1.0, 0.1, 0.1])
    pace = _tokens_per_second(lambda batch: time.sleep(next(sleeps)), tokens, None, 2, "cpu", 1.25)
    assert 40 < pace <= 80  # 8 tokens in .1 s or somewhat more; the mean would be 25
