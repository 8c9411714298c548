"""Methods measured in turn, A B A B, each in processes of its own that are loaded and warmed up once."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from statistics import median
from typing import Any

READY_SECONDS = 900
"""How long a method may take to load and warm up, and for one round."""


@dataclass(frozen=True)
class Work:
    """What one round did, as the method itself tells it.

    Attributes
    ----------
    documents, tokens : how many; tokens where they were counted.
    cpu_seconds, wall_seconds : where the method times a part of its round alone; None has the whole round taken.
    values : anything else that it measured.
    """

    documents: float
    cpu_seconds: float | None = None
    wall_seconds: float | None = None
    tokens: float = 0
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """One round: documents and tokens, the CPU seconds of all processes that took part, and wall seconds."""

    documents: float
    cpu_seconds: float
    wall_seconds: float
    tokens: float = 0
    values: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_a_document(self) -> float:
        return self.cpu_seconds / self.documents

    @property
    def documents_per_second(self) -> float:
        return self.documents / self.wall_seconds


@dataclass(frozen=True)
class Figure:
    """The median of several rounds, and their least and greatest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        found = sorted(values)
        return cls(median(found), found[0], found[-1])


Measure = Callable[[], Work]


@dataclass(frozen=True)
class Method:
    """A way of doing the work.

    Attributes
    ----------
    prepare : a picklable function that loads and warms up, in the method's own process, and returns one round's work;
        what its module imports at the top counts as loaded before the cores are set.
    cores : how many cores each of its processes may use; 0 leaves them and the threads as they are.
    rounds : at most so many; 0 takes as many as the others.
    turns : so many make a round; 0 takes as many as the others.
    environments : one a process: environment variables besides the common ones.
    rotates : whether each round runs on other cores than the one before; for what is compared with a method of more
        cores, as a neighbour of the machine may slow one of them.
    """

    name: str
    prepare: Callable[[], Measure]
    cores: int = 1
    rounds: int = 0
    environments: tuple[dict[str, str], ...] = ({},)
    rotates: bool = False
    turns: int = 0


@dataclass
class Outcome:
    """A method's rounds, why it has no more of them, and the turns that they are made of."""

    rounds: list[Round] = field(default_factory=list)
    failure: str = ""
    turns: list[Round] = field(default_factory=list)


class MethodError(Exception):
    """A method that ended or failed; the text is one line."""


def in_turn(
    methods: Sequence[Method], rounds: int, start: Callable[[Method], Any] | None = None, turns: int = 1
) -> dict[str, Outcome]:
    """Measure methods in turn; one that fails is left out from then on.

    Parameters
    ----------
    start : what starts a method: an object with ``ready``, ``round`` and ``close``.
    turns : how many together count as one round. Other guests of a machine slow it for seconds; of turns that are
        shorter than that every method gets its share.
    """
    outcomes = {method.name: Outcome() for method in methods}
    running: dict[str, Any] = {}
    try:
        for method in methods:  # they load beside each other: no round begins before all are warm
            running[method.name] = (start or Processes)(method)
        for name, one in running.items():
            try:
                one.ready()
            except MethodError as error:
                outcomes[name].failure = str(error)
        for number in range(rounds * turns):
            for method in methods:
                own, (round_number, turn) = outcomes[method.name], divmod(number, turns)
                if own.failure or round_number >= (method.rounds or rounds) or turn >= (method.turns or turns):
                    continue
                try:
                    own.turns.append(running[method.name].round())
                except MethodError as error:
                    own.failure = str(error)
    finally:
        for one in running.values():
            one.close()
    for method in methods:
        outcome, size = outcomes[method.name], min(method.turns or turns, turns)
        del outcome.turns[len(outcome.turns) // size * size :]
        starts = range(0, len(outcome.turns), size)
        outcome.rounds = [_in_all(outcome.turns[first : first + size], sum) for first in starts]
    return outcomes


def _in_all(parts: Sequence[Round], wall: Callable[[Iterable[float]], float]) -> Round:
    """Parts of a round together, ``wall`` of their wall seconds; the values are the first one's."""
    return Round(
        documents=sum(part.documents for part in parts),
        cpu_seconds=sum(part.cpu_seconds for part in parts),
        wall_seconds=wall(part.wall_seconds for part in parts),
        tokens=sum(part.tokens for part in parts),
        values=parts[0].values,
    )


def alone(method: Method) -> Outcome:
    """One round of one method, in a process that lives for it alone."""
    return in_turn([method], 1)[method.name]


def ratio(of: Outcome, to: Outcome, quantity: Callable[[Round], float]) -> Figure | None:
    """How many times ``to``'s quantity is of ``of``'s: by medians, and the least and greatest round by round."""
    if not (of.rounds and to.rounds):
        return None
    pairs = [quantity(theirs) / quantity(ours) for ours, theirs in zip(of.rounds, to.rounds, strict=False)]
    middle = median(map(quantity, to.rounds)) / median(map(quantity, of.rounds))
    return Figure(middle, min(*pairs, middle), max(*pairs, middle))


def ratio_of_least(of: Outcome, to: Outcome, quantity: Callable[[Round], float]) -> float | None:
    """The same of the least turn of each, which another guest on the same core has disturbed least.

    On a Xeon with AMX such a guest makes a bf16 product take 5.2 ms for 2.0, one in fp32 21.5 for 17.5, for about two
    seconds at a time, and half of the time when it is there.
    """
    if not (of.turns and to.turns):
        return None
    return min(map(quantity, to.turns)) / min(map(quantity, of.turns))


class Processes:
    """A method's processes: all are told to start a round, and the round is over when the last one is."""

    def __init__(self, method: Method):
        context = get_context("spawn")
        self.name = method.name
        self._method = method
        self._rounds = 0
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        for number, environment in enumerate(method.environments):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(self._cores(number), environment, theirs, method.prepare))
            process.start()
            theirs.close()  # else its end would not be seen
            self._pipes.append(ours)
            self._processes.append(process)

    def ready(self) -> None:
        """Wait until every process is loaded and warm."""
        for pipe in self._pipes:
            self._answer(pipe)

    def round(self) -> Round:
        """One round; the values are the first process's."""
        for number, pipe in enumerate(self._pipes):
            pipe.send(self._cores(number))
        self._rounds += 1
        return _in_all([self._answer(pipe) for pipe in self._pipes], max)

    def _cores(self, number: int) -> list[int]:
        """What one of the processes runs on now: as long as there are enough, cores of its own."""
        available, method = sorted(os.sched_getaffinity(0)), self._method
        first = (number + (self._rounds if method.rotates else 0)) * method.cores
        return [available[(first + offset) % len(available)] for offset in range(method.cores)]

    def close(self) -> None:
        """End the processes, by force where one does not end by itself."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()
                process.join(timeout=10)
            if process.is_alive():
                process.kill()
                process.join()

    def _answer(self, pipe: Any) -> Any:
        waited_until = time.monotonic() + READY_SECONDS
        try:
            while not pipe.poll(1):
                dead = [one.exitcode for one in self._processes if one.exitcode not in (None, 0)]
                if dead and not pipe.poll(0):
                    raise MethodError(f"its process ended with status {dead[0]}")
                if time.monotonic() > waited_until:
                    raise MethodError(f"no answer in {READY_SECONDS} s")
            answer = pipe.recv()
        except (EOFError, OSError):
            raise MethodError("its process ended") from None
        if isinstance(answer, str):
            raise MethodError(answer)
        return answer


def _serve(cores: list[int], environment: dict[str, str], pipe: Any, prepare: Callable[[], Measure]) -> None:
    """Load, then do a round whenever asked; ends when the other side does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent closes the pipe
    common = {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    if cores:
        os.sched_setaffinity(0, cores)
        common["OMP_NUM_THREADS"] = "1"  # threads that no method asked for would compete with the workers of pools
    # Before torch is imported, which reads them once.
    os.environ.update(common | environment)
    try:
        if "torch" in sys.modules:
            raise RuntimeError("torch was imported before its threads were set")
        from teleclass.runtime.console import set_up_console

        set_up_console()
        measure = prepare()
        pipe.send(None)
        while True:
            if cores := pipe.recv():
                os.sched_setaffinity(0, cores)
            pipe.send(_timed(measure))
    except EOFError:
        return
    except BaseException as error:  # the parent tells it in the table
        lines = str(error).strip().splitlines()
        pipe.send(f"{type(error).__name__}: {lines[0] if lines else ''}")


def _timed(measure: Measure) -> Round:
    cpu, wall = cpu_seconds(), time.perf_counter()
    work = measure()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    return Round(
        documents=work.documents,
        cpu_seconds=cpu if work.cpu_seconds is None else work.cpu_seconds,
        wall_seconds=wall if work.wall_seconds is None else work.wall_seconds,
        tokens=work.tokens,
        values=work.values,
    )


def cpu_seconds(living: Iterable[int] = ()) -> float:
    """CPU seconds of this process, of its children that have ended, and of living ones by their process ids."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    for process in living:
        with open(f"/proc/{process}/stat") as stream:
            after_name = stream.read().rpartition(")")[2].split()
        total += (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
    return total


def keep_on_cores(processes: Iterable[int], cores: Iterable[int]) -> None:
    """Have every thread of other processes run on these cores alone."""
    cores = set(cores)
    for process in processes:
        for thread in os.listdir(f"/proc/{process}/task"):
            os.sched_setaffinity(int(thread), cores)


def rank_environments(world_size: int) -> tuple[dict[str, str], ...]:
    """What a launcher would set for so many ranks on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return tuple(
        {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size),
            "LOCAL_WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }
        for rank in range(world_size)
    )  # fmt: skip
