"""MLflow's store: where it is, how it is opened, and the UI on it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from teleclass.errors import StoreError, TeleclassError
from teleclass.runtime.console import quiet_libraries

STORE_FOLDER = Path("mlruns")
SQLITE = "sqlite:///"
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Has older UIs open an experiment on its training runs instead of traces; newer ones go by the address."""


LOCK_SECONDS = 5
"""How long a store may be locked by another process when a run starts; writing takes a tenth of a second."""


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or a SQLite file in ``mlruns/`` of the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{(STORE_FOLDER / 'mlflow.db').resolve()}"


def shown_uri() -> str:
    """The same for people to read: without the user and the password that an address may hold."""
    return without_password(tracking_uri())


def without_password(text: str) -> str:
    """A text without what stands before the ``@`` of addresses in it."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def has_store() -> bool:
    """Whether there is anything to read; a server that the user names is taken at their word."""
    uri = tracking_uri()
    return not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).exists()


def is_server() -> bool:
    """Whether the store is a server, which other machines reach too."""
    return tracking_uri().startswith(("http://", "https://", "databricks"))


def open_store(to_write: bool = False) -> Any:
    """A client of the store, which is made where it does not exist yet.

    Parameters
    ----------
    to_write : find out now whether the store can be written.

    Raises
    ------
    StoreError : a SQLite file that cannot be opened or, ``to_write``, not be written or stays locked.
    """
    from filelock import FileLock

    try:
        STORE_FOLDER.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{STORE_FOLDER.resolve()} cannot be made: {error.strerror}") from None
    # Several experiments that create the store at once would break each other's schema migration.
    with FileLock(STORE_FOLDER / ".create.lock"):
        if to_write:
            _try_to_write()
        from mlflow.tracking import MlflowClient

        quiet_libraries()
        client = MlflowClient(tracking_uri())
        client.search_experiments(max_results=1)
    return client


def _try_to_write() -> None:
    """Ask SQLite for the right to write, which MLflow itself tries for minutes to get where it cannot be had."""
    import sqlite3

    uri = tracking_uri()
    if not uri.startswith(SQLITE):
        return
    file = Path(uri.removeprefix(SQLITE).partition("?")[0])
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=LOCK_SECONDS, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise StoreError(str(error).splitlines()[0]) from None


def experiment_id(client: Any, name: str) -> str:
    """The id of an experiment, which is made where it does not exist yet.

    Raises
    ------
    TeleclassError : the experiment was deleted.
    """
    from filelock import FileLock

    with FileLock(STORE_FOLDER / ".create.lock"):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            location = (STORE_FOLDER / "artifacts").resolve().as_uri() if _is_local() else None
            return client.create_experiment(name, artifact_location=location, tags=KIND)
    if experiment.lifecycle_stage == "deleted":
        raise TeleclassError(
            f"the MLflow experiment {name!r} was deleted; restore it, or name another with --tracking.experiment"
        )
    return experiment.experiment_id


def ui_command(port: int, host: str) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment that start MLflow's UI on this project's store, with one worker."""
    import sys

    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri()]
    if _is_local():
        command += ["--default-artifact-root", (STORE_FOLDER / "artifacts").resolve().as_uri()]
    command += ["--host", host, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    environment = dict(
        os.environ,
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        PYTHONWARNINGS="ignore",
    )
    return command, environment


def _is_local() -> bool:
    return not os.environ.get("MLFLOW_TRACKING_URI")
