"""The language model as its callers see it: many questions in, an answer or None for each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from teleclass.runtime.console import progress
from teleclass.runtime.llm.answers import AnswerFile
from teleclass.runtime.llm.budget import Budget
from teleclass.runtime.llm.config import LlmConfig
from teleclass.runtime.llm.local import LocalModel, find_local_model
from teleclass.runtime.llm.request import Completion, Provider, Request, Unanswered
from teleclass.runtime.llm.server import Server, api_key, import_openai
from teleclass.runtime.llm.usage import Usage

GRACE_SECONDS = 10.0
"""How long calls under way may still end, and be kept, when another one ended the program."""


class _Outcome(NamedTuple):
    """What became of a call: the answer that counts, or None, and what the call adds to the usage."""

    key: str
    completion: Completion | None
    counts: dict[str, float]


class LanguageModel:
    """Asks each question once, ever: answers are kept in a file and taken from there.

    Parameters
    ----------
    config : what is asked, and for how much; calls and money are counted over this object's life.
    answers_file : where answers are kept; untouched with ``llm.replay``.

    Attributes
    ----------
    usage : counts, in all and by task.
    """

    def __init__(self, config: LlmConfig, answers_file: Path):
        if not config.enabled:
            raise ValueError("llm.model or llm.replay must be given")
        self.config = config
        self.usage = Usage()
        self._answers = AnswerFile(Path(config.replay) if config.replay else answers_file)
        self._budget = Budget(config)
        self._provider: Provider | None = None
        self._has_answered = False

    @property
    def stopped(self) -> str:
        """Why no further question is asked, in one sentence; empty while they are."""
        return self._budget.stopped

    def complete(self, requests: Sequence[Request], what: str) -> list[Completion | None]:
        """Answer questions, from the file where it has the answer; identical ones are asked once.

        Parameters
        ----------
        what : the work's name beside the progress bar.

        Returns
        -------
        one entry a question, in their order; None where it was not answered: a call that failed, a budget that is
        used up, an answer that ``llm.replay`` does not hold.

        Raises
        ------
        TeleclassError : nothing can be asked: the SDK, the key or the model is missing or refused.
        InputError : the file of answers cannot be read or written.
        """
        asked = [replace(one, max_tokens=one.max_tokens or self.config.max_tokens) for one in requests]
        keys = [one.key(self.config.model) for one in asked]
        self._answers.refresh(must_exist=bool(self.config.replay))
        known = {key: answer for key in keys if (answer := self._answers.get(key)) is not None}
        pending = {key: one for key, one in zip(keys, asked, strict=True) if key not in known}
        called: set[str] = set()
        with progress(total=len(requests), unit="answers", what=what) as bar:
            bar.update(sum(key in known for key in keys))
            if pending and not self.config.replay and not self.stopped:
                self._prepare()
                # The first call goes alone: it may find the key refused, or the form that the server takes.
                first, *rest = pending.items()
                for batch in [[first, *rest]] if self._has_answered else [[first], rest]:
                    for outcome in self._ask_all(batch, bar):
                        called.add(outcome.key)
                        self.usage.add(pending[outcome.key].task, **outcome.counts)
                        if outcome.completion is not None:
                            known[outcome.key] = outcome.completion
        for key, one in zip(keys, asked, strict=True):
            if key in called:
                called.remove(key)  # counted as a call; the same question again is a reuse
            else:
                self.usage.add(one.task, **{"reused" if key in known else "unanswered": 1})
        return [known.get(key) for key in keys]

    def close(self) -> None:
        """Let go of the model; one in this process leaves its memory to the training."""
        self._provider = None

    def _prepare(self) -> None:
        if self._provider is None:
            self._provider = LocalModel(self.config) if self.config.is_local else Server(self.config)
        self._answers.prepare()

    def _ask_all(self, batch: list[tuple[str, Request]], bar: Any) -> list[_Outcome]:
        """Ask by several threads, and wait until each call has ended."""
        assert self._provider is not None
        todo, ended = deque(batch), SimpleQueue[_Outcome | BaseException | None]()
        # Daemons: a person who stops the program does not wait for the server.
        threads = [
            Thread(target=self._work, args=(self._provider, todo, ended), daemon=True)
            for _ in range(min(self._provider.concurrency, len(batch)))
        ]
        for thread in threads:
            thread.start()
        outcomes: list[_Outcome] = []
        running = len(threads)
        try:
            while running:
                one = ended.get()
                if isinstance(one, BaseException):
                    raise one
                if one is None:
                    running -= 1
                else:
                    outcomes.append(one)
                    bar.update()
        except BaseException as error:
            self._budget.stop("the program was stopped")
            deadline = time.monotonic() + (GRACE_SECONDS if isinstance(error, Exception) else 0.0)
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            raise
        return outcomes

    def _work(self, provider: Provider, todo: deque[tuple[str, Request]], ended: SimpleQueue) -> None:
        """Ask one question after the other; what this thread raises is handed to the one that waits."""
        try:
            while todo:
                try:
                    key, request = todo.popleft()
                except IndexError:
                    break
                reserved = self._budget.reserve(request)
                if reserved is None:
                    break
                ended.put(self._call(provider, key, request, reserved))
        except BaseException as error:
            self._budget.stop(str(error))
            ended.put(error)
        ended.put(None)

    def _call(self, provider: Provider, key: str, request: Request, reserved: float) -> _Outcome:
        try:
            completion = provider.ask(request)
            kept = self._answers.add(request, self.config.model, completion)
        except Unanswered as error:
            self._budget.failed(reserved, str(error))
            return _Outcome(key, None, {"calls": 1, "failed": 1})
        except BaseException:
            self._budget.give_back(reserved)
            raise
        cost = self._budget.answered(reserved, completion)
        self._has_answered = True
        tokens = {"input_tokens": completion.input_tokens, "output_tokens": completion.output_tokens}
        return _Outcome(key, kept, {"calls": 1, "cost": cost, **tokens})


def check_llm(config: LlmConfig) -> None:
    """Find before any work what would keep the language model from answering; nothing is asked.

    Raises
    ------
    TeleclassError : the SDK, the key, the local model or a package that it needs is missing.
    InputError : the file of ``llm.replay`` is missing or broken.
    """
    if config.replay:
        AnswerFile(Path(config.replay)).refresh(must_exist=True)
    elif config.is_local:
        find_local_model(config.model)
    elif config.enabled:
        import_openai()
        api_key(config)
