"""Prompts: files with named fields, one a task, that users may replace by their own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from string import Template

from teleclass.data.textfile import lines
from teleclass.errors import InputError

SHIPPED = Path(__file__).parent / "prompts"

FIELDS = {
    "enrich": ("class_name", "path", "siblings", "n_terms", "document_kind"),
    "annotate": ("document", "classes", "document_kind"),
    "generate": ("class_name", "path", "terms", "examples", "n_documents", "document_kind"),
}
"""The tasks, and the fields that a prompt of each may use."""

WORD_LENGTH = 20
"""Characters a word at most, on average, for scripts without blanks."""

NEEDED = {"enrich": ("class_name",), "annotate": ("document", "classes"), "generate": ("class_name",)}
"""Fields without which a prompt cannot work."""


@dataclass(frozen=True)
class Prompt:
    """A task's two messages, with ``$name`` where a field goes."""

    system: Template
    user: Template

    def fill(self, **values: object) -> tuple[str, str]:
        """The messages with their fields filled in; what a value holds is never taken for a field."""
        return self.system.substitute(values), self.user.substitute(values)


def read_prompt(task: str, folder: Path | None = None) -> Prompt:
    """Read a task's prompt: ``<task>.txt`` of the user's folder where it is there, else the shipped one.

    Raises
    ------
    InputError : no such folder, a section or a field missing, an unknown field.
    """
    if folder is not None and not folder.is_dir():
        raise InputError("the folder of llm.prompts does not exist", folder)
    own = folder / f"{task}.txt" if folder else None
    path = own if own is not None and own.exists() else SHIPPED / f"{task}.txt"
    sections: dict[str, list[str]] = {"system": [], "user": []}
    current = None
    for number, text in _numbered(path):
        heading = re.fullmatch(r"\[(\w+)\]\s*", text)
        if heading:
            current = heading[1]
            if current not in sections:
                raise InputError(f"unknown section [{current}]; a prompt has [system] and [user]", path, number)
        elif current is None:
            if text.strip() and not text.startswith("#"):
                raise InputError("text before the first section; start with [system]", path, number)
        else:
            _check_fields(text, task, path, number)
            sections[current].append(text)
    joined = {name: "\n".join(content).strip() for name, content in sections.items()}
    if not joined["user"]:
        raise InputError("has no [user] section", path)
    whole = "\n".join(joined.values())
    for field in NEEDED[task]:
        if field not in _fields_of(whole):
            raise InputError(f"does not use ${field}, without which the model is not told what it is about", path)
    return Prompt(Template(joined["system"]), Template(joined["user"]))


def quoted(document: str, max_words: int) -> str:
    """A document as it stands in a prompt: cut, and unable to close the mark it stands in."""
    words = document.split()
    text = " ".join(words[:max_words])[: max_words * WORD_LENGTH]
    if len(text) < len(" ".join(words)):
        text += " …"
    return re.sub(r"<(\s*/?\s*document)", r"‹\1", text, flags=re.IGNORECASE)


def bulleted(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _numbered(path: Path) -> list[tuple[int, str]]:
    """Lines with their numbers, empty ones too: they are part of a prompt."""
    found = dict(lines(path))
    return [(number, found.get(number, "")) for number in range(1, max(found, default=0) + 1)]


def _fields_of(text: str) -> set[str]:
    return {match["named"] or match["braced"] for match in Template.pattern.finditer(text)} - {None}


def _check_fields(text: str, task: str, path: Path, number: int) -> None:
    for match in Template.pattern.finditer(text):
        if match["invalid"] is not None:
            raise InputError("a lone $ stands here; write $$ for the sign itself", path, number)
        name = match["named"] or match["braced"]
        if name and name not in FIELDS[task]:
            known = ", ".join(f"${field}" for field in FIELDS[task])
            raise InputError(f"unknown field ${name}; {task} has {known}", path, number)
