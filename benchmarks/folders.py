"""Data folders to measure on, and the same ones with class names alone."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from teleclass.data.layout import CORPUS_TERMS, LAYOUTS, find_layout
from teleclass.errors import TeleclassError

KEYWORD_FILES = frozenset({CORPUS_TERMS, *(name for one in LAYOUTS for name in (one.keywords, one.descriptions))})
"""What may tell more of a class than its name; of both layouts, as key terms of either may lie in one folder."""


def name_folders(folders: Sequence[str]) -> dict[str, Path]:
    """Absolute data folders by their own last names.

    Raises
    ------
    TeleclassError : two folders of one name.
    """
    named: dict[str, Path] = {}
    for folder in folders:
        path = Path(os.path.abspath(folder))
        find_layout(path)
        if named.setdefault(path.name, path) != path:
            raise TeleclassError(
                f"two data folders are called {path.name!r}; give one of them by a link with another name"
            )
    return named


def has_keywords(data_dir: Path) -> bool:
    """Whether a data folder tells more of its classes than their names."""
    layout = find_layout(data_dir)
    return any((data_dir / name).exists() for name in (layout.keywords, layout.descriptions))


def without_keywords(data_dir: Path, copy: Path) -> Path:
    """Make ``copy`` anew: links to every file of a data folder but those with keywords and descriptions."""
    if copy.exists():
        shutil.rmtree(copy)
    for file in sorted(path for path in data_dir.rglob("*") if path.is_file()):
        name = file.relative_to(data_dir)
        if name.as_posix() not in KEYWORD_FILES:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).symlink_to(file.resolve())
    return copy


def folder_name(name: str) -> str:
    """A data set's name as the name of a folder."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_")
