"""The trained model in MLflow: served by ``mlflow models serve``, and registered where a name is given."""

from __future__ import annotations

import importlib.metadata
import tempfile
from pathlib import Path

from teleclass.data.taxonomy import Taxonomy
from teleclass.errors import DiskError
from teleclass.phases import evaluate
from teleclass.runtime.console import log
from teleclass.runtime.disk import free_bytes, size
from teleclass.runtime.tracking.store import STORE_FOLDER, is_server
from teleclass.runtime.workplace import Workplace

NEEDED = ("mlflow", "numpy", "pandas", "scipy", "torch", "transformers")
"""What a server of the model installs; teleclass itself lies beside the model, as it was when it was logged."""

MADE_BY = ("train", "predict")
"""The phases that write the model's folder."""


def publish_model(work: Workplace, taxonomy: Taxonomy, is_wanted: bool, register: str) -> None:
    """Log the model's folder as a pyfunc of this run, on the first rank.

    A run that reused the model logs no further copy of it, unless it is to be registered.

    Parameters
    ----------
    is_wanted : whether models are logged at all; one that is to be registered is in any case.
    register : a name in the model registry, or empty.
    """
    is_new = not set(MADE_BY) <= set(work.reused)
    if not work.tracker.is_on or not (register or (is_wanted and is_new)):
        return
    need = sum(file.stat().st_size for file in work.artifacts.path("model").rglob("*") if file.is_file())
    # MLflow gathers the model in the temporary folder before it copies it to the store.
    for folder in (Path(tempfile.gettempdir()), *([] if is_server() else [STORE_FOLDER])):
        if (free := free_bytes(folder)) < need:
            words = f"the model needs {size(need)} to be logged and {size(free)} are free in {folder}"
            if register:
                raise DiskError(f"{words}; make room and run the same command again, it only registers the model")
            log.info("  %s: it is in %s alone", words, work.artifacts.path("model"))
            return
    package = Path(__file__).parent
    path = taxonomy.first_path(taxonomy.leaves[0])
    names = [taxonomy.names[node] for node in path]
    version = work.tracker.log_model(
        work.artifacts.path("model"),
        package / "serving.py",
        [f"{name}=={importlib.metadata.version(name)}" for name in NEEDED],
        {"text": [f"A text about {names[-1]}.", "Another text."]},
        {
            "classes": [names, names[:1]],
            "class_ids": [[taxonomy.ids[node] for node in path], [taxonomy.ids[path[0]]]],
            "probabilities": [[0.5] * len(path), [0.5]],
            "paths": [[" > ".join(names)], names[:1]],
            "confidence": [0.5, 0.5],
        },
        packages=[package],
        register=register,
    )
    if version:
        log.info("registered as version %s of %s", version, register)


def log_artifacts(work: Workplace) -> None:
    """What the run is looked at by: its results, report and tables, on the first rank."""
    for name in ("ds_config", "submission", "metrics", "report", "figures"):
        work.tracker.artifact(work.artifacts.path(name))
    for name in ("class_metrics", "level_metrics", "augmentation"):
        columns = evaluate.read_table(work.artifacts, name)
        if columns:
            work.tracker.table(name, columns)
