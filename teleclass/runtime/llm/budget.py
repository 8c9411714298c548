"""Whether another call may be made: the limits on calls and money, and a server that keeps failing."""

from __future__ import annotations

from threading import Condition

from teleclass.runtime.llm.config import LlmConfig
from teleclass.runtime.llm.request import Completion, Request

FAILURES_IN_A_ROW = 5
"""After so many the server counts as down; each has been retried already."""


class Budget:
    """Reserves each call before it is made, so that calls under way together stay within the limits too.

    Attributes
    ----------
    stopped : why no further call is made, in one sentence; empty while they are.
    """

    def __init__(self, config: LlmConfig):
        self.stopped = ""
        self._config = config
        self._calls = 0
        self._spent = 0.0
        self._reserved: list[float] = []
        self._failures = 0
        self._changed = Condition()

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Money for tokens."""
        return (input_tokens * self._config.input_price + output_tokens * self._config.output_price) / 1e6

    def reserve(self, request: Request) -> float | None:
        """Reserve a call with the most it can cost, or None when no further call is made.

        Waits while calls under way may still give back enough of what is reserved for them.
        """
        most = self.cost(request.estimated_tokens(), request.max_tokens)
        limit = self._config.max_cost
        with self._changed:
            while not self.stopped:
                if self._config.max_calls and self._calls >= self._config.max_calls:
                    self.stopped = f"the limit of {self._config.max_calls:,} calls (llm.max_calls) is reached"
                elif not limit or self._spent + sum(self._reserved) + most <= limit:
                    self._calls += 1
                    self._reserved.append(most)
                    return most
                elif not self._reserved:
                    self.stopped = f"{self._spent:.4g} of {limit:g} (llm.max_cost) is spent, too much for another call"
                else:
                    self._changed.wait()
            self._changed.notify_all()
            return None

    def answered(self, reserved: float, completion: Completion) -> float:
        """Settle a reserved call by what it used; returns its cost."""
        cost = self.cost(completion.input_tokens, completion.output_tokens)
        with self._changed:
            self._spent += cost
            self._failures = 0
            self._release(reserved)
        return cost

    def failed(self, reserved: float, message: str) -> None:
        """Settle a reserved call that got no answer."""
        with self._changed:
            self._failures += 1
            if self._failures >= FAILURES_IN_A_ROW and not self.stopped:
                self.stopped = f"the language model failed {self._failures} times in a row, last with: {message}"
            self._release(reserved)

    def give_back(self, reserved: float) -> None:
        """Settle a reserved call that is neither."""
        with self._changed:
            self._release(reserved)

    def stop(self, reason: str) -> None:
        """Let no further call be made."""
        with self._changed:
            self.stopped = self.stopped or reason
            self._changed.notify_all()

    def _release(self, reserved: float) -> None:
        self._reserved.remove(reserved)
        self._changed.notify_all()
