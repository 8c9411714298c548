"""Every test here starts without a key, without a proxy, and without OpenAI's settings."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("TELECLASS_LLM_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
