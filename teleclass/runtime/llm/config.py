"""What an experiment is told of its language model."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

TASKS = ("enrich", "annotate", "generate")
LOCAL = "local"
"""The address that stands for this process."""


@dataclass(frozen=True)
class LlmConfig:
    """Which language model is asked, what for, and for how much. The API key is read from the environment alone.

    Parameters
    ----------
    base_url
        address of an OpenAI-compatible server, such as http://localhost:8000/v1; "local" runs the model in this
        process; OpenAI's own, or that of OPENAI_BASE_URL, when empty.
    model
        the model's name on that server, or with base_url "local" a model folder, a .gguf file or "smollm2"; none when
        empty.
    replay
        a file of kept answers; they alone are used and nothing is asked.
    answers
        the file that paid answers are kept in and looked up; llm_answers.jsonl in the output folder when empty.
    tasks
        the steps that ask the model, some of enrich,annotate,generate.
    prompts
        a folder with prompt files that replace the shipped ones.
    document_kind
        what a text is, such as "product review" or "news article".
    max_documents
        documents annotated at most, the least confident first; 0 is no limit.
    max_calls
        calls made at most, where a call and its retries count once; 0 is no limit.
    max_cost
        money spent at most, in the currency of the prices; 0 is no limit.
    input_price
        money for a million tokens of prompts.
    output_price
        money for a million tokens of answers.
    concurrency
        calls under way at the same time.
    timeout
        seconds that the server may be silent.
    retries
        times that a call is repeated after a passing fault, with growing pauses.
    max_tokens
        tokens of an answer at most.
    """

    base_url: str = ""
    model: str = ""
    replay: str = ""
    answers: str = ""
    tasks: str = ",".join(TASKS)
    prompts: str = ""
    document_kind: str = "document"
    max_documents: int = 0
    max_calls: int = 0
    max_cost: float = 0.0
    input_price: float = 0.0
    output_price: float = 0.0
    concurrency: int = 8
    timeout: float = 60.0
    retries: int = 5
    max_tokens: int = 512

    def __post_init__(self) -> None:
        unknown = [name for name in self._task_names if name not in TASKS]
        if unknown or not self._task_names:
            raise ValueError(f"llm.tasks must name some of {', '.join(TASKS)}, separated by commas")
        for name in ("max_documents", "max_calls", "retries"):
            if getattr(self, name) < 0:
                raise ValueError(f"llm.{name} must be 0 or more")
        for name in ("max_cost", "input_price", "output_price"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"llm.{name} must be 0 or more")
        for name in ("concurrency", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"llm.{name} must be 1 or more")
        if not 0 < self.timeout < math.inf:
            raise ValueError("llm.timeout must be above 0")
        if not self.document_kind.strip():
            raise ValueError("llm.document_kind must say what a text is, such as 'product review'")
        if self.max_cost and not (self.input_price or self.output_price):
            raise ValueError("llm.max_cost needs llm.input_price or llm.output_price")
        if self.base_url and not self.model:
            raise ValueError("llm.base_url needs llm.model, the model's name there")
        if self.base_url and not self.is_local:
            _check_address(self.base_url)

    @property
    def enabled(self) -> bool:
        """Whether there is a language model, or the kept answers of one."""
        return bool(self.model or self.replay)

    @property
    def is_local(self) -> bool:
        return self.base_url == LOCAL

    def does(self, task: str) -> bool:
        """Whether a step asks the language model."""
        return self.enabled and task in self._task_names

    @property
    def _task_names(self) -> list[str]:
        return [name.strip() for name in self.tasks.split(",") if name.strip()]


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("llm.base_url must be 'local' or an address such as http://localhost:8000/v1")
    # The configuration is logged and saved, so it is no place for a secret.
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("llm.base_url must be a plain address; put the key in TELECLASS_LLM_API_KEY")


def llm_print(config: LlmConfig) -> list[object]:
    """What of a configuration decides results, for a fingerprint: not where the server is, nor how fast it is asked.

    The budget belongs to it, as a larger one answers more; so do the contents of the user's prompts and of a replay.
    """
    if not config.enabled:
        return []
    folder = Path(config.prompts) if config.prompts else None
    files = sorted(folder.glob("*.txt")) if folder else []
    files += [Path(config.replay)] if config.replay else []
    contents = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files if file.is_file()]
    prices = [config.input_price, config.output_price] if config.max_cost else []  # else they decide nothing
    return [
        config.model, sorted(config._task_names), config.document_kind, config.max_documents, config.max_calls,
        config.max_cost, prices, config.max_tokens, contents,
    ]  # fmt: skip
