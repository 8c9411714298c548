"""Shared by the tests of labelling."""

from __future__ import annotations

import pytest

from teleclass.labelling import similarity


@pytest.fixture
def fp32_products(monkeypatch):
    """For comparisons with a plain computation: no CPU rounds the factors of its products."""
    monkeypatch.setattr(similarity, "rounds_fp32_products", lambda: False)
