"""JSON files that name classes by document, with the document of every fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from teleclass.data.taxonomy import Taxonomy
from teleclass.data.textfile import class_id
from teleclass.errors import InputError


def read_by_document(path: Path) -> dict[str, Any]:
    """Read one JSON object that is keyed by document id.

    Raises
    ------
    InputError : the file cannot be read, is not JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise InputError("the file does not exist; check the data folder", path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path) from None
    except UnicodeDecodeError:
        raise InputError("is not valid UTF-8; save the file as UTF-8", path) from None
    except json.JSONDecodeError as error:
        raise InputError(f"is not valid JSON: {error.msg}", path, error.lineno) from None
    except (RecursionError, ValueError):
        raise InputError("is JSON that is nested too deeply or holds a number that is too long", path) from None
    if not isinstance(content, dict):
        raise InputError("expected one JSON object, keyed by document id", path)
    return content


def class_positions(numbers: Any, document: str, path: Path, taxonomy: Taxonomy) -> list[int]:
    """Positions of a document's classes, from a list of class ids.

    Raises
    ------
    InputError : not a list, not a class id, or an unknown class.
    """
    if not isinstance(numbers, list):
        raise InputError(f"document {document!r}: expected a list of classes, not {numbers!r}", path)
    found = []
    for number in numbers:
        try:
            identity = class_id(str(number), path, 1)
        except InputError as error:
            raise InputError(f"document {document!r}: {error.problem}", path) from None
        if identity not in taxonomy.position:
            raise InputError(f"document {document!r} names class {number}, which is not in the class file", path)
        found.append(taxonomy.position[identity])
    return found
