"""The ranks' exchange over gloo gives what torch's own collectives give."""

import pytest


def exchange(rank, file, results):
    import torch
    import torch.distributed as dist

    from teleclass.runtime.exchange import BLOCK, WORTH_A_LOOK, gather_by_broadcasts, reduce_by_messages

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
    found = [(kind, *reduced(kind, rank, WORTH_A_LOOK + BLOCK + 3)) for kind in KINDS]
    dist.destroy_process_group()
    results.put((rank, apart.tolist(), within.tolist(), sums, found))


KINDS = ("full", "full on one rank", "of few rows", "not finite", "empty")


def reduced(kind, rank, n_values):
    """Whether a large sum on rank 1 is that of torch's own collective, and bytes that this rank sent for it."""
    import torch
    import torch.distributed as dist

    from teleclass.runtime.exchange import reduce_by_messages

    own = torch.zeros(n_values, dtype=torch.bfloat16)
    if kind == "full" or (kind == "full on one rank" and rank == 0):
        own += torch.randint(-8, 8, (n_values,), generator=torch.Generator().manual_seed(rank))
    elif kind != "empty":
        own[[700 * (rank + 1), 5_000, n_values - 1]] = -1  # a block that no rank shares, one that all do, and the rest
    if kind == "not finite":
        own[9_999] = float("nan") if rank else float("inf")
    expected = own.clone()
    dist.all_reduce(expected)
    sent, send = [], dist.send
    dist.send = lambda tensor, *rest: sent.append(tensor.nbytes) or send(tensor, *rest)
    reduce_by_messages(own, 1)
    dist.send = send
    return rank != 1 or torch.equal(own.nan_to_num(99), expected.nan_to_num(99)), sum(sent)


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
    for rank, apart, within, sums, reductions in found:
        own = everything[4 * rank : 4 * rank + 4]
        assert apart == within == everything
        assert sums == [[30.0, 33, 36, 39] if owner == rank else own for owner in range(3)]
        assert all(is_right for _, is_right, _ in reductions), reductions
        sent_whole = [kind for kind, _, n_bytes in reductions if n_bytes >= 2**19]
        assert sent_whole == [[*KINDS[:2]], [], [KINDS[0]]][rank]
        assert all(n_bytes < 4096 for kind, _, n_bytes in reductions if kind not in sent_whole)
