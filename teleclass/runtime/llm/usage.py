"""What the language model was asked and what that cost, in all and by task."""

from __future__ import annotations

from dataclasses import dataclass, field

MEASURES = ("calls", "reused", "failed", "input_tokens", "output_tokens", "cost")


@dataclass
class Usage:
    """Counts; every request is a call, reused, or unanswered without a call.

    Attributes
    ----------
    calls : requests that were asked, the failed ones among them.
    reused : requests that a kept answer served.
    failed : calls without an answer.
    unanswered : requests that were not asked: the budget, a failing server, an answer that ``llm.replay`` lacks.
    input_tokens, output_tokens : of this run's calls.
    cost : money of this run's calls.
    tasks : the same by task.
    """

    calls: int = 0
    reused: int = 0
    failed: int = 0
    unanswered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    tasks: dict[str, Usage] = field(default_factory=dict)

    def add(self, task: str, **amounts: float) -> None:
        """Add to the counts of a task and to the total."""
        for counts in (self, self.tasks.setdefault(task, Usage())):
            for name, amount in amounts.items():
                setattr(counts, name, getattr(counts, name) + amount)

    def has_failed(self, *tasks: str) -> bool:
        """Whether a call of one of the tasks got no answer, so that another attempt could."""
        return any(self.tasks[task].failed for task in tasks if task in self.tasks)

    def metrics(self, task: str) -> dict[str, float]:
        """``llm/<task>/calls`` and the others of :data:`MEASURES`; zeros for a task that asked nothing."""
        counts = self.tasks.get(task, Usage())
        return {f"llm/{task}/{name}": float(getattr(counts, name)) for name in MEASURES}
