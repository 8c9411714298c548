"""The output folder: where every artifact lies, when it is complete, and whether it is still fresh."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    "learning_curve": "intermediate/learning_curve.csv",
    "checkpoints": "checkpoints",
    "model": "model",
    "filing": "model/filing",
    "model_card": "model/README.md",
    "predictions": "predictions.parquet",
    "submission": "submission.csv",
    "metrics": "metrics.json",
    "class_metrics": "metrics_by_class.csv",
    "level_metrics": "metrics_by_level.csv",
    "augmentation": "augmentation_by_class.csv",
    "report": "report.html",
    "figures": "figures",
    "config": "config.yaml",
    "ds_config": "ds_config_used.json",
}
"""Every artifact's place in the output folder."""


@dataclass(frozen=True)
class Marker:
    """What a completed phase leaves behind: the fingerprint it ran under and what it reported.

    Attributes
    ----------
    notes : what it said in its closing line.
    is_partial : whether a second attempt could do better, as where a language model's server failed.
    rss_mb, gpu_memory_mb : peaks, the largest of all ranks and of worker processes; 0 where nothing was measured.
    parts : digests of what the fingerprint was made of, by name.
    """

    fingerprint: str
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    is_partial: bool = False
    notes: list[str] = field(default_factory=list)
    rss_mb: float = 0.0
    gpu_memory_mb: float = 0.0
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
        return [name for name in outputs if marker.sizes.get(name) != self._size(name)]

    def complete(self, phase: str, marker: Marker, outputs: tuple[str, ...]) -> None:
        """Write the completion marker, last of all, with the sizes of the outputs."""
        marker = replace(marker, sizes={name: self._size(name) for name in outputs})
        file = self._marker_file(phase)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(marker), indent=1), "utf-8")
        os.replace(partial, file)

    def forget(self, phase: str) -> None:
        """Remove the marker before a phase writes: half-written outputs must not look complete."""
        self._marker_file(phase).unlink(missing_ok=True)

    def discard(self, name: str) -> None:
        """Remove an artifact that nothing needs any more; what cannot be removed stays."""
        path = self.path(name)
        with suppress(OSError):
            for one in list(path.iterdir()) if path.is_symlink() else [path]:  # a link leads to a larger disk
                _remove(one)

    def borrow(self, other: Artifacts, phase: str, outputs: tuple[str, ...]) -> bool:
        """Link a phase that another output folder has completed into this one; returns whether it is there now.

        Artifacts are written beside and renamed, so that neither folder ever changes the other's files.
        """
        marker = other.marker(phase)
        if marker is None or other.missing(marker, outputs):
            return False
        if self.marker(phase) == marker and not self.missing(marker, outputs):
            return True
        self.forget(phase)
        for name in outputs:
            with self.writing(name) as partial:
                if other.path(name).is_dir():
                    shutil.copytree(other.path(name), partial, copy_function=_link)
                else:
                    _link(other.path(name), partial)
        self.complete(phase, marker, outputs)
        return True

    def _size(self, name: str) -> int:
        """Bytes of an artifact, −1 where it is missing; a folder's without other artifacts that lie in it."""
        path = self.path(name)
        if not path.is_dir():
            return path.stat().st_size if path.exists() else -1
        inner = {self.folder / other for other in FILES.values()} - {path}
        return sum(
            file.stat().st_size
            for file in path.rglob("*")
            if file.is_file()
            and not any(one in inner or one.name.endswith(".partial") for one in (file, *file.parents))
        )

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


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
