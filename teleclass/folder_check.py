"""A data folder, checked before a long run: by the experiment's own readers and checks, and for what would surprise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from teleclass.config import ExperimentConfig
from teleclass.data.class_checks import check_classes
from teleclass.data.corpus import Corpus, read_documents
from teleclass.data.dataset import Dataset
from teleclass.data.document_checks import Documents, check_documents
from teleclass.data.faults import MendedCopy, mended_copy
from teleclass.data.findings import ERROR, OK, WARNING, Finding, Section, as_json, counted, worst
from teleclass.data.layout import Layout, find_layout
from teleclass.data.taxonomy import read_taxonomy
from teleclass.data.textfile import pairs
from teleclass.data.texts import Texts
from teleclass.errors import ModelError, TeleclassError
from teleclass.estimate import Estimate, estimate, sample
from teleclass.execution import Phase
from teleclass.model.sources import find_model
from teleclass.model.tokens import count_tokens, token_limit
from teleclass.phases import evaluate
from teleclass.pipeline import PHASES
from teleclass.runtime.console import duration
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.launcher import ranks_to_launch

COUNTED = 100_000
"""Documents whose tokens are counted; of more, so many that are spread evenly."""
MOSTLY_UNKNOWN = 0.5
"""Share of unknown tokens from which a model cannot read a document."""


class FolderCheck:
    """The check of one data folder, section by section.

    Parameters
    ----------
    config : the experiment's, with its data folder and models.
    is_model_chosen : whether the user named the models; if not, it is no error that they are not here.
    """

    def __init__(self, config: ExperimentConfig, is_model_chosen: bool = True):
        self.config = config
        self.is_model_chosen = is_model_chosen
        self.layout = ""
        self.sections: list[Section] = []
        self.estimate: Estimate | None = None

    def run(self, with_estimate: bool = True) -> None:
        """Fill the sections; errors of one file do not keep the others from being looked at."""
        source = self.config.data_folder
        files = self._section("files")
        try:
            layout = find_layout(source)
        except TeleclassError as error:
            files.findings.append(Finding.of_error(error))
            return
        self.layout = layout.name
        with mended_copy(source) as copy:
            data = self._read(copy)
            files.findings += [self._finding(error, layout) for error in copy.faults]
            if not copy.faults:
                text = f"{layout.name} layout: every file can be read"
                files.findings.append(Finding(OK, text))
            if data is None:
                return
            self._texts(data)
            self._gold(data)
            if with_estimate:
                self._time(data)

    def as_json(self) -> dict[str, Any]:
        """Everything that was found, for machines."""
        answer: dict[str, Any] = {
            "data_dir": str(self.config.data_folder),
            "layout": self.layout,
            "status": worst(self.sections),
            "sections": as_json(self.sections),
        }
        if self.estimate is not None:
            answer["estimate"] = {
                "seconds": self.estimate.seconds,
                "total": self.estimate.total,
                "source": self.estimate.source,
            }
        return answer

    def _section(self, title: str) -> Section:
        self.sections.append(Section(title))
        return self.sections[-1]

    def _finding(self, error: TeleclassError, layout: Layout | None = None) -> Finding:
        file = getattr(error, "file", None)
        if file is not None and Path(file).is_relative_to(self.config.data_folder):
            file = str(Path(file).relative_to(self.config.data_folder))
        finding = Finding.of_error(error, file)
        repair = getattr(error, "repair", "")
        mended = f"--repair mends it: {repair}" if repair else ""
        if repair and self.config.repair:
            return replace(finding, kind=WARNING, advice=f"mended by --repair: {repair}")
        if layout is not None and file == layout.classes:
            first = "mend this first: the line was left out, and other errors may follow from it"
            return replace(finding, advice=f"{first}; {mended}" if mended else first)
        if mended:
            return replace(finding, advice=mended)
        if isinstance(error, ModelError) and not self.is_model_chosen:
            return replace(finding, kind=WARNING, advice="tokens are not counted; name a model with --model")
        return finding

    def _read(self, copy: MendedCopy) -> Dataset | None:
        """Read every file as the experiment would; None where classes or training documents cannot be read."""
        layout, limit = find_layout(copy.folder), self.config.max_documents or None
        optional = (layout.hierarchy, layout.keywords, layout.descriptions)
        taxonomy = copy.read(lambda folder: read_taxonomy(folder, layout), empty=optional)
        train = copy.read(lambda folder: read_documents(folder / layout.train_corpus, limit))
        n_ranks = ranks_to_launch()
        ranks = Ranks(world_size=n_ranks, local_world_size=n_ranks)
        has_test = (copy.folder / layout.test_corpus).exists()
        test = copy.read(lambda folder: read_documents(folder / layout.test_corpus, limit)) if has_test else None
        if taxonomy is not None:
            has_edges = layout.hierarchy not in copy.emptied
            self._section("classes").findings += check_classes(taxonomy, layout, copy.folder, has_edges)
        if train is None:
            if taxonomy is not None:  # gold needs no documents to have faults
                alone = Dataset(copy.folder, layout, taxonomy, Corpus(Texts.of([]), Texts.of([]), 0))
                copy.read(lambda folder: evaluate.check(replace(alone, folder=folder)))
            return None
        of_train = _documents(copy.folder, layout.train_corpus, *train)
        of_test = _documents(copy.folder, layout.test_corpus, *test) if test is not None else None
        n_classes = None if taxonomy is None else taxonomy.n_classes
        self._section("documents").findings += check_documents(of_train, of_test, n_classes)
        if taxonomy is None or (has_test and test is None):
            return None
        test_ids, test_texts = test or (Texts.of([]), Texts.of([]))
        corpus = Corpus(train[0] + test_ids, train[1] + test_texts, len(train[0]))
        data = Dataset(copy.folder, layout, taxonomy, corpus, is_limited=limit is not None)
        for phase in PHASES:
            copy.read(self._check_of(phase, data, ranks))
        return data

    def _check_of(self, phase: Phase, data: Dataset, ranks: Ranks) -> Callable[[Path], None]:
        """A phase's own check, as a reader of the data in any folder."""
        return lambda folder: phase.check(self.config, replace(data, folder=folder), ranks)

    def _texts(self, data: Dataset) -> None:
        """What the models' tokenizers make of the documents."""
        try:
            folders = {"encoder": find_model(self.config.encoder.model),
                       "classifier": find_model(self.config.training.model)}  # fmt: skip
        except TeleclassError:
            return  # told already
        asked = {"encoder": self.config.encoder.max_tokens, "classifier": self.config.training.max_tokens}
        n_train, all_ids = data.corpus.n_train, data.corpus.ids
        named = [f"training {one}" for one in all_ids[:n_train]] + [f"test {one}" for one in all_ids[n_train:]]
        ids, texts = sample(named, COUNTED), sample(data.corpus.texts, COUNTED)
        part = f" of {len(texts):,} that were looked at" if len(texts) < len(data.corpus) else ""
        findings = self._section("tokens").findings
        counts = {folder: count_tokens(folder, texts) for folder in set(folders.values())}
        for name, folder in folders.items():
            limit, found = token_limit(folder, asked[name]), counts[folder]
            long = [ids[row] for row in (found.lengths > limit).nonzero()[0]]
            text = (
                f"the {name} reads {limit:,} tokens of a document; they have {found.lengths.mean():,.0f} on average, "
                f"{found.lengths.max():,} at most"
            )
            if long:
                text += f"; {counted(len(long), 'document is', 'documents are')} longer{part}"
            # The classifier's limit is an option that trades time for text; the encoder's is the model's own.
            is_surprise = bool(long) and name == "encoder"
            advice = "the rest is not read: put first what says what they are about, or give a model that reads more"
            if is_surprise:
                findings.append(Finding(WARNING, text, advice, items=tuple(long)))
            else:
                findings.append(Finding(OK, text))
        for folder, found in counts.items():
            unknown = [ids[row] for row in (found.unknown_share > MOSTLY_UNKNOWN).nonzero()[0]]
            if unknown:
                text = f"{counted(len(unknown), 'document consists', 'documents consist')} mostly of words or signs "
                text += f"that {folder.name} does not know{part}"
                advice = "if it is another language, give a model for it with --encoder.model and --training.model"
                findings.append(Finding(WARNING, text, advice, items=tuple(unknown)))

    def _gold(self, data: Dataset) -> None:
        """Gold labels against documents and taxonomy, by the evaluate phase: no other module can read them."""
        findings = self._section("gold").findings
        try:
            splits = evaluate.gold_coverage(data)
        except TeleclassError:
            return  # told already
        of_split = {"train": "training", "test": "test"}
        if not splits:
            findings.append(Finding(OK, "no gold labels: there will be no metrics, but signs of trust"))
        for one in splits:
            findings.append(
                Finding(OK, f"{counted(one.documents, of_split[one.split] + ' document')} with gold", file=one.file)
            )
            document = f"{of_split[one.split]} document"
            for items, noun, what, advice in (
                (one.unknown if not data.is_limited else (), "id", "of the gold file in no corpus",
                 "check that ids and files belong together; they are left out"),
                (one.without, document, "without a gold label", "they are left out of the metrics"),
                (one.not_closed, document, "with a gold class but none of its parents",
                 "add the parents: predicted labels always hold them, and count as wrong otherwise"),
            ):  # fmt: skip
                if items:
                    text = f"{counted(len(items), noun)} {what}"
                    findings.append(Finding(WARNING, text, advice, one.file, items=items))

    def _time(self, data: Dataset) -> None:
        """What the experiment would cost here."""
        if worst(self.sections) == ERROR:
            return
        findings = self._section("time").findings
        try:
            self.estimate = found = estimate(self.config, data, ranks_to_launch())
        except TeleclassError as error:
            findings.append(self._finding(error))
            return
        work, parts = found.work, ", ".join(f"{name} {duration(value)}" for name, value in found.seconds.items())
        findings.append(Finding(OK, f"about {duration(found.total)} in all: {parts}"))
        text = f"an estimate for {work.documents:,} documents, {work.encoded_tokens:,.0f} tokens to encode and "
        text += f"{work.steps:,} training steps of {work.step_tokens:,.0f} tokens; from {found.source}"
        findings.append(Finding(OK, text))


def _documents(folder: Path, name: str, ids: Texts, texts: Texts) -> Documents:
    """Documents with their lines, read once more for these."""
    lines = [line for line, _, _ in pairs(folder / name)]
    return Documents(name, ids, texts, lines[: len(ids)])
