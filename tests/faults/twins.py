"""Twins of the fault tests: the same test with its protection taken out, which must fail.

``@pytest.mark.twin("teleclass.pipeline:follow_launcher")`` names what protects: a name of a module, which the twin
replaces by nothing, or by what stands behind ``=``, in this process and in those that it starts: a name of
``site/unsafe.py``, or an expression. ``pytest --prove-faults`` runs the twins alone and expects each to fail.
"""

from __future__ import annotations

import importlib
import os
import runpy
from pathlib import Path

import pytest

SITE = Path(__file__).parent / "site"
"""Loaded by the processes that fault tests start."""

CHILD = runpy.run_path(str(SITE / "sitecustomize.py"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--prove-faults", action="store_true", help="run the twins of the fault tests and expect them to fail"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "twin(*protections): fails without them; see tests/faults/twins.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--prove-faults"):
        others = [item for item in items if item.get_closest_marker("twin") is None]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
        for item in items:
            item.add_marker(pytest.mark.xfail(strict=True, reason="its protection is taken out"))


@pytest.fixture(autouse=True)
def protection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a twin, takes out what protects, once the fixtures of the module are made."""
    if not request.config.getoption("--prove-faults"):
        return
    places = request.node.get_closest_marker("twin").args
    monkeypatch.setenv(CHILD["TAKEN_OUT"], ";".join(places))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(SITE), os.environ.get("PYTHONPATH")])))
    for place in places:
        name, _, expression = place.partition("=")
        module, _, path = name.partition(":")
        owner = importlib.import_module(module)
        *classes, last = path.split(".")
        for one in classes:
            owner = getattr(owner, one)
        before = getattr(owner, last)
        CHILD["take_out"](importlib.import_module(module), path, expression)
        after = getattr(owner, last)
        setattr(owner, last, before)
        monkeypatch.setattr(owner, last, after)
