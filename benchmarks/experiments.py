"""One data set: the experiments that were run on it, and what they left for the other methods."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.evaluation import Gold, filed_gold, training_gold
from benchmarks.folders import folder_name
from teleclass.config import ExperimentConfig, parse_arguments
from teleclass.data.dataset import read_dataset
from teleclass.data.gold import gold_file
from teleclass.errors import TeleclassError
from teleclass.labelling.decoding import Decoder
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import PathIndex, index_paths
from teleclass.labelling.selection import fit_label_model
from teleclass.phases.encode import encode_folder
from teleclass.runtime.artifacts import Artifacts, file_digest, fingerprint

SCRIPT = Path(__file__).parent.parent / "run_experiment.py"
LENT = (
    "intermediate/document_embeddings.npy",
    "intermediate/class_embeddings.npy",
    "intermediate/completed/encode.json",
)
"""What a further seed reuses, the marker last; embeddings don't depend on the seed."""

STAMP = "measured.json"


class DataSet:
    """A data folder with its gold, and the output folders of experiments on it.

    Parameters
    ----------
    work : the folder under which every experiment of every data set lies.
    options : more options of the experiment.
    again : do experiments anew from their second phase.

    Raises
    ------
    TeleclassError : an option or a data folder that cannot be used, or no gold.
    """

    def __init__(self, name: str, data_dir: Path, work: Path, options: Sequence[str] = (), again: bool = False):
        self.name, self.data_dir, self.again = name, data_dir, again
        self.options = tuple(options)
        self.work = work.absolute()
        self.folder = self.work / folder_name(name)
        self.config: ExperimentConfig = parse_arguments(self._arguments(0))
        self.data = read_dataset(data_dir, self.config.max_documents or None)
        self.gold: Gold = filed_gold(self.data)
        self.training_gold: Gold = training_gold(self.data)
        self.paths: PathIndex = index_paths(self.data.taxonomy, self.config.decoding.stop_at_inner)
        self.decoder = Decoder(self.data.taxonomy, self.paths, self.config.decoding)
        gold = [gold_file(data_dir, self.data.layout, split) for split in ("train", "test")]
        files = [*self.data.input_files().values(), *(path for path in gold if path.exists())]
        self.fingerprint = fingerprint(
            options=self.options, files={path.relative_to(data_dir).as_posix(): file_digest(path) for path in files}
        )
        self._run: set[int] = set()

    def experiment(self, seed: int) -> Artifacts:
        """The output folder of a whole experiment, run in a process of its own unless this program has done so.

        Raises
        ------
        TeleclassError : the experiment failed.
        """
        output = self._output(seed)
        if seed in self._run:
            return output
        self._lend_embeddings(output.folder)
        (output.folder / STAMP).unlink(missing_ok=True)
        log = output.folder.with_suffix(".log")
        command = [sys.executable, str(SCRIPT), *self._arguments(seed)]
        if self.again and output.marker("label"):
            command += ["--force", "label"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
        with log.open("w", encoding="utf-8") as stream:
            # in the work folder, for its own MLflow store
            status = subprocess.run(command, cwd=self.work, env=environment, stdout=stream, stderr=stream).returncode
        if status:
            raise TeleclassError(f"the experiment ended with status {status}; {log} says why")
        (output.folder / STAMP).write_text(json.dumps(self.fingerprint), "utf-8")
        self._run.add(seed)
        return output

    def embeddings(self) -> np.ndarray:
        """(N, D) of all documents: those of an experiment where there was one, else encoded now."""
        return np.load(self._encoded.path("document_embeddings"), mmap_mode="r")

    def filed_embeddings(self) -> np.ndarray:
        """(rows, D) of the documents to be filed."""
        return self.embeddings()[self.data.corpus.predicted]

    def class_vectors(self) -> np.ndarray:
        """(C, D), from class texts."""
        return np.load(self._encoded.path("class_embeddings"))

    @cached_property
    def label_model(self) -> LabelModel:
        """The label model of an experiment where there was one, else fitted now; the seed has no part in it."""
        if (output := self._earlier()) is not None:
            return LabelModel.load(output.path("label_model"))
        return fit_label_model(self.embeddings(), self.class_vectors(), self.paths, self.config.labelling)[0]

    @cached_property
    def cosines(self) -> np.ndarray:
        """(filed documents, C) cosines of documents and class texts."""
        return np.asarray(self.filed_embeddings()) @ self.class_vectors().T

    @cached_property
    def _encoded(self) -> Artifacts:
        if (output := self._earlier()) is not None:
            return output
        output = Artifacts(self.folder / f"encoded_{self.fingerprint[:12]}")
        if not output.path("class_embeddings").exists():  # written last
            encode_folder(self.data, output.folder, self.config.encoder)
        return output

    def _earlier(self) -> Artifacts | None:
        """A finished experiment on the same data with the same options, of whatever seed."""
        for stamp in sorted(self.folder.glob(f"seed_*/{STAMP}")):
            if json.loads(stamp.read_text("utf-8")) == self.fingerprint:
                return Artifacts(stamp.parent)
        return None

    def _output(self, seed: int) -> Artifacts:
        return Artifacts(self.folder / f"seed_{seed}")

    def _arguments(self, seed: int) -> list[str]:
        # Ours come last, so that no option can send the experiment elsewhere.
        return [
            "--preset", "offline", *self.options,
            "--data_dir", str(self.data_dir), "--seed", str(seed), "--output_dir", str(self._output(seed).folder),
        ]  # fmt: skip

    def _lend_embeddings(self, folder: Path) -> None:
        """Link a finished encode phase of another seed into an output folder that has none; the program checks it."""
        folder.mkdir(parents=True, exist_ok=True)
        lender = next((path for path in sorted(self.folder.glob("seed_*")) if (path / LENT[-1]).exists()), None)
        if lender is None or (folder / LENT[-1]).exists():
            return
        for name in LENT:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).unlink(missing_ok=True)
            try:
                os.link(lender / name, folder / name)
            except OSError:  # a file system without hard links
                shutil.copy2(lender / name, folder / name)
