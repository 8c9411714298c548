"""The output folder: where every artifact lies, when it is complete, and whether it is still fresh."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from teleclass.errors import TeleclassError

FILES = {
    "document_embeddings": "intermediate/document_embeddings.npy",
    "class_embeddings": "intermediate/class_embeddings.npy",
    "label_model": "intermediate/label_model.npz",
    "class_terms": "intermediate/class_terms.json",
    "annotations": "intermediate/annotations.parquet",
    "pseudo_labels": "intermediate/pseudo_labels.parquet",
    "augmented": "intermediate/augmented.parquet",
    "training_set": "intermediate/training_set.parquet",
    "classifier_scores": "intermediate/classifier_scores.npy",
    "class_scores": "intermediate/class_scores.npy",
    "model": "model",
    "predictions": "predictions.parquet",
    "submission": "submission.csv",
    "metrics": "metrics.json",
    "class_metrics": "metrics_by_class.csv",
    "level_metrics": "metrics_by_level.csv",
    "augmentation": "augmentation_by_class.csv",
    "report": "report.html",
    "config": "config.yaml",
    "ds_config": "ds_config_used.json",
}
"""Every artifact's place in the output folder."""


@dataclass(frozen=True)
class Marker:
    """What a completed phase leaves behind: the fingerprint it ran under and what it reported.

    ``is_partial`` says that a second attempt could do better, as where a language model's server failed; ``parts`` are
    digests of what the fingerprint was made of, by name.
    """

    fingerprint: str
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    is_partial: bool = False
    parts: dict[str, str] = field(default_factory=dict)


class Artifacts:
    """The output folder of one experiment."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / FILES[name]

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path beside the artifact; renamed into place when the block ends well, removed when it does not."""
        final = self.path(name)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = final.with_name(f".{final.name}.partial")
        _remove(partial)
        try:
            yield partial
            if not partial.exists():
                raise FileNotFoundError(f"nothing was written to {partial}")
            if final.is_dir():
                _remove(final)
            os.replace(partial, final)
        finally:
            _remove(partial)

    def need_shared(self, path: Path) -> None:
        """Check that a file which rank 0 made is there for this rank too.

        Raises
        ------
        TeleclassError : the machines do not share the output folder.
        """
        if not path.exists():
            raise TeleclassError(f"{path} is not on {platform.node()}: give an --output_dir that all machines share")

    def marker(self, phase: str) -> Marker | None:
        """The completion marker of a phase, if it has a readable one."""
        try:
            return Marker(**json.loads(self._marker_file(phase).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def missing(self, marker: Marker, outputs: tuple[str, ...]) -> list[str]:
        """The outputs that are not there with the size they were written with."""
        return [name for name in outputs if marker.sizes.get(name) != _size(self.path(name))]

    def complete(self, phase: str, marker: Marker, outputs: tuple[str, ...]) -> None:
        """Write the completion marker, last of all, with the sizes of the outputs."""
        marker = replace(marker, sizes={name: _size(self.path(name)) for name in outputs})
        file = self._marker_file(phase)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(marker), indent=1), "utf-8")
        os.replace(partial, file)

    def forget(self, phase: str) -> None:
        """Remove the marker before a phase writes: half-written outputs must not look complete."""
        self._marker_file(phase).unlink(missing_ok=True)

    def _marker_file(self, phase: str) -> Path:
        return self.folder / "intermediate" / "completed" / f"{phase}.json"


def fingerprint(**parts: Any) -> str:
    """SHA-256 over values that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, or of the names and contents of a folder's files."""
    if path.is_dir():
        inner = {str(file.relative_to(path)): file_digest(file) for file in sorted(path.rglob("*")) if file.is_file()}
        return fingerprint(**inner)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream: Any) -> str:  # Python 3.10 has no hashlib.file_digest
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else -1


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
