"""Labels of documents from a file: this program's own submission, ``teleclass predict``'s CSV, or another's."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from teleclass.data.spreadsheet import unguarded
from teleclass.data.taxonomy import Taxonomy
from teleclass.data.textfile import class_id
from teleclass.errors import InputError

LABEL_COLUMNS = ("labels", "class_ids")


def read_submission(path: Path, taxonomy: Taxonomy) -> dict[str, set[int]]:
    """Label sets by document id, as class positions.

    Parameters
    ----------
    path : CSV with a column ``id`` and one of :data:`LABEL_COLUMNS`: class ids with commas or semicolons between them.

    Raises
    ------
    InputError : a missing column, an unknown class, or a document that stands twice.
    """
    found: dict[str, set[int]] = {}
    line_of: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            column = next((name for name in LABEL_COLUMNS if name in (reader.fieldnames or [])), None)
            if column is None or "id" not in (reader.fieldnames or []):
                raise InputError(f"expected a header with id and {' or '.join(LABEL_COLUMNS)}", path, 1)
            for row in reader:
                document, line = row["id"] or "", reader.line_num
                if column == "class_ids":  # as teleclass predict writes it
                    document = unguarded(document)
                if document in line_of:
                    raise InputError(f"document id {document!r} stands already in line {line_of[document]}", path, line)
                line_of[document] = line
                found[document] = _positions(row[column] or "", taxonomy, path, line)
    except csv.Error as error:
        raise InputError(f"is not valid CSV: {error}", path) from None
    except UnicodeDecodeError:
        raise InputError("is not valid UTF-8; save the file as UTF-8", path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path) from None
    return found


def _positions(labels: str, taxonomy: Taxonomy, path: Path, line: int) -> set[int]:
    positions = set()
    for piece in filter(None, re.split(r"[,;\s]+", labels)):
        number = class_id(piece, path, line)
        if number not in taxonomy.position:
            raise InputError(f"class {number} is not in the class file", path, line)
        positions.add(taxonomy.position[number])
    return positions
