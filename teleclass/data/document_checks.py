"""What would surprise in a corpus: empty, repeated, cut and broken documents, and too few of them."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from teleclass.data.corpus import MAX_CHARACTERS
from teleclass.data.findings import OK, WARNING, Finding, counted

FEW_DOCUMENTS = 5
"""Training documents a class, below which pseudo labels rest on class names more than on the corpus."""
_BROKEN = re.compile("\ufffd|Ã[\x80-\xbf]|â€|Â[\xa0-\xbf]")
"""What UTF-8 looks like that was read as Latin-1 or Windows-1252, and the sign for what could not be read."""


@dataclass(frozen=True)
class Documents:
    """The documents of one file with their places.

    Attributes
    ----------
    file : its name, relative to the data folder.
    lines : the line of each document, counted from 1.
    """

    file: str
    ids: Sequence[str]
    texts: Sequence[str]
    lines: Sequence[int]

    def place(self, row: int) -> str:
        return f"{self.ids[row]} (line {self.lines[row]})"

    def finding(self, rows: Sequence[int], kind: str, text: str, advice: str) -> Finding:
        """A finding about some of the documents."""
        return Finding(kind, text, advice, self.file, self.lines[rows[0]], tuple(self.place(row) for row in rows))


def check_documents(train: Documents, test: Documents | None, n_classes: int | None) -> list[Finding]:
    """Findings about the corpora that no tokenizer is needed for.

    Parameters
    ----------
    n_classes : None where the class file cannot be read.
    """
    findings = [Finding(OK, counted(len(train.ids), "training document"), file=train.file)]
    if test is None:
        findings.append(Finding(OK, "no test corpus: the training documents themselves are filed"))
    else:
        findings.append(Finding(OK, counted(len(test.ids), "test document"), file=test.file))
    if n_classes and len(train.ids) < FEW_DOCUMENTS * n_classes:
        findings.append(
            Finding(
                WARNING,
                f"{len(train.ids) / n_classes:.1f} training documents a class, fewer than {FEW_DOCUMENTS}",
                "add unlabelled documents: labels rest on class names and keywords where the corpus is small",
                train.file,
            )
        )
    parts = [train] if test is None else [train, test]
    keys = [[_key(text) for text in part.texts] for part in parts]
    for part, of_part in zip(parts, keys, strict=True):
        findings += _of_one_file(part, of_part)
    if test is not None:
        findings += _overlap(train, keys[0], test, keys[1])
    return findings


def _of_one_file(part: Documents, keys: Sequence[bytes]) -> list[Finding]:
    findings = []
    if empty := [row for row, text in enumerate(part.texts) if not text.strip()]:
        text = f"{counted(len(empty), 'document is', 'documents are')} empty"
        advice = "remove them: an empty one teaches nothing, and is filed as the class of highest prior"
        findings.append(part.finding(empty, WARNING, text, advice))
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        if part.texts[row].strip():
            groups[key].append(row)
    repeated = [rows for rows in groups.values() if len(rows) > 1]
    if repeated:
        extra = sum(len(rows) - 1 for rows in repeated)
        findings.append(
            Finding(
                WARNING,
                f"{counted(extra, 'document repeats', 'documents repeat')} the text of another, but for case and white "
                "space",
                "keep one of each: repeated texts weigh as many times in the class vectors",
                part.file,
                part.lines[repeated[0][1]],
                tuple(" = ".join(part.place(row) for row in rows) for rows in repeated),
            )
        )
    if long := [row for row, text in enumerate(part.texts) if len(text) >= MAX_CHARACTERS]:
        text = f"{counted(len(long), 'document is', 'documents are')} cut at {MAX_CHARACTERS:,} characters"
        advice = "split them, or put first what says what they are about"
        findings.append(part.finding(long, WARNING, text, advice))
    if broken := [row for row, text in enumerate(part.texts) if _BROKEN.search(text)]:
        text = f"{counted(len(broken), 'document looks', 'documents look')} wrongly decoded (such as Ã© for é)"
        findings.append(part.finding(broken, WARNING, text, "save the file anew, as UTF-8, from the original texts"))
    return findings


def _overlap(
    train: Documents, train_keys: Iterable[bytes], test: Documents, test_keys: Iterable[bytes]
) -> list[Finding]:
    first_of: dict[bytes, int] = {}
    for row, key in enumerate(train_keys):
        if train.texts[row].strip():
            first_of.setdefault(key, row)
    shared = [(first_of[key], row) for row, key in enumerate(test_keys) if key in first_of]
    same_ids = len(set(train.ids) & set(test.ids))
    findings = []
    if same_ids:
        text = f"{counted(same_ids, 'id stands', 'ids stand')} in both corpora, which is allowed"
        findings.append(Finding(OK, text))
    if shared:
        findings.append(
            Finding(
                WARNING,
                f"{counted(len(shared), 'test document has', 'test documents have')} the text of a training document",
                "remove them from one of the files, or test metrics look better than they are",
                test.file,
                test.lines[shared[0][1]],
                tuple(f"test {test.place(row)} = training {train.place(first)}" for first, row in shared),
            )
        )
    return findings


def _key(text: str) -> bytes:
    """A digest that texts share which differ in case and white space alone."""
    return hashlib.blake2b(" ".join(text.casefold().split()).encode(), digest_size=16).digest()
