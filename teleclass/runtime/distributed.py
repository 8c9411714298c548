"""The ranks of an experiment: who this process is, and how the ranks wait for each other."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from teleclass.runtime.exchange import gather_by_broadcasts, reduce_by_messages
from teleclass.runtime.memory import keep_freed_memory
from teleclass.runtime.pulse import activity

CONTROL_TIMEOUT = timedelta(days=7)
"""How long ranks may wait while rank 0 works alone; NCCL's own limit would end them after 10 minutes."""


@dataclass
class Ranks:
    """This process among the others.

    Attributes
    ----------
    rank, world_size : among all processes on all machines.
    local_rank, local_world_size : among the processes of this machine.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    _control: Any = field(default=None, repr=False)

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read what the launcher set; without a launcher this is the only process."""
        world_size = int(os.environ.get("WORLD_SIZE", "1"))
        return cls(
            rank=int(os.environ.get("RANK", "0")),
            world_size=world_size,
            local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            local_world_size=int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("LOCAL_SIZE") or world_size),
        )

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def node(self) -> int:
        return self.rank // self.local_world_size

    @property
    def n_nodes(self) -> int:
        return max(1, self.world_size // self.local_world_size)

    def connect(self) -> None:
        """Start torch.distributed by way of DeepSpeed, once: needed with several ranks, and by the engine."""
        import torch
        import torch.distributed as dist

        if dist.is_initialized():
            return
        _single_process_defaults()
        deepspeed = import_deepspeed()
        on_gpu = torch.cuda.is_available()
        if not on_gpu:
            keep_freed_memory()
        else:
            torch.cuda.set_device(self.local_rank % torch.cuda.device_count())
        deepspeed.init_distributed(dist_backend="nccl" if on_gpu else "gloo", verbose=False)
        if not on_gpu:
            deepspeed.comm.comm.cdb.all_gather_function = gather_by_broadcasts
            deepspeed.comm.comm.cdb.reduce = reduce_by_messages
        if self.world_size > 1:
            self._control = dist.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)

    def close(self) -> None:
        """Leave the process group, if one was joined."""
        import sys

        if "torch" not in sys.modules:
            return
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            # DeepSpeed's own way forgets its groups too, else a second experiment in one process could not train.
            import_deepspeed().comm.destroy_process_group()

    def barrier(self) -> None:
        """Wait for every rank, however long rank 0 works alone."""
        if self.world_size > 1:
            import torch.distributed as dist

            with activity.waiting():
                dist.barrier(group=self._control)

    def from_first(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.world_size == 1:
            return value
        import torch.distributed as dist

        box = [value]
        with activity.waiting():
            dist.broadcast_object_list(box, src=0, group=self._control)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value in rank order, on every rank."""
        if self.world_size == 1:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.world_size
        with activity.waiting():
            dist.all_gather_object(values, value, group=self._control)
        return values

    def begin_maximum(self, value: int) -> Callable[[], int]:
        """Begin to find the largest of all ranks' values; the function that is returned waits for it."""
        if self.world_size == 1:
            return lambda: value
        import torch
        import torch.distributed as dist

        largest = torch.tensor([value], dtype=torch.int32)
        under_way = dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._control, async_op=True)

        def wait() -> int:
            under_way.wait()
            return int(largest)

        return wait


def import_deepspeed() -> Any:
    """Import DeepSpeed without its start-up noise and without its shared-memory op.

    That op is compiled at first use on a CPU, for a minute and with a C++ compiler; gloo does its work here.
    """
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else it warns that it found no other

    import deepspeed
    import deepspeed.ops

    from teleclass.runtime.console import quiet_libraries

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    quiet_libraries()
    if not torch.cuda.is_available():
        from deepspeed.accelerator import get_accelerator

        # It would turn every gradient into double precision for the norm: .04 to .12 s of a step of .5 s.
        get_accelerator().is_fp64_supported = lambda: False
    return deepspeed


def _single_process_defaults() -> None:
    if "RANK" in os.environ:
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
