"""The ranks' exchange over gloo gives what torch's own collectives give."""

import pytest


def exchange(rank, file, results):
    import torch
    import torch.distributed as dist

    from teleclass.runtime.exchange import gather_by_broadcasts, reduce_by_messages

    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=3)
    part = torch.arange(4, dtype=torch.bfloat16) + 10 * rank
    apart, within = (torch.zeros(12, dtype=torch.bfloat16) for _ in range(2))
    gather_by_broadcasts(apart, part)
    within[4 * rank : 4 * rank + 4] = part
    gather_by_broadcasts(within, within[4 * rank : 4 * rank + 4])
    sums = []
    for owner in range(3):
        own = part.clone()
        reduce_by_messages(own, owner)
        sums.append(own.tolist())
    dist.destroy_process_group()
    results.put((rank, apart.tolist(), within.tolist(), sums))


@pytest.mark.slow
def test_parts_are_gathered_everywhere_and_sums_arrive_at_their_owner(tmp_path):
    from multiprocessing import get_context

    context = get_context("spawn")
    results = context.Queue()
    ranks = [context.Process(target=exchange, args=(rank, tmp_path / "meet", results)) for rank in range(3)]
    for process in ranks:
        process.start()
    found = sorted(results.get(timeout=60) for _ in ranks)
    for process in ranks:
        process.join()
    everything = [0.0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    for rank, apart, within, sums in found:
        own = everything[4 * rank : 4 * rank + 4]
        assert apart == within == everything
        assert sums == [[30.0, 33, 36, 39] if owner == rank else own for owner in range(3)]
