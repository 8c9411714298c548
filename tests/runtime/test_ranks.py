import pytest

from teleclass.runtime.distributed import Ranks

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_SIZE", "LOCAL_WORLD_SIZE")


def started_with(monkeypatch, **variables):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    return Ranks.from_environment()


def test_without_a_launcher_this_is_the_only_process(monkeypatch):
    ranks = started_with(monkeypatch)
    assert ranks == Ranks(rank=0, world_size=1, local_rank=0, local_world_size=1)
    assert ranks.is_first
    assert (ranks.node, ranks.n_nodes) == (0, 1)


@pytest.mark.parametrize("name", ["LOCAL_SIZE", "LOCAL_WORLD_SIZE"], ids=["DeepSpeed", "torchrun"])
@pytest.mark.parametrize(("rank", "local_rank", "node"), [(0, 0, 0), (1, 1, 0), (2, 0, 1), (3, 1, 1)])
def test_two_machines_of_two_ranks(monkeypatch, name, rank, local_rank, node):
    ranks = started_with(monkeypatch, RANK=rank, WORLD_SIZE=4, LOCAL_RANK=local_rank, **{name: 2})
    assert (ranks.rank, ranks.world_size, ranks.local_rank, ranks.local_world_size) == (rank, 4, local_rank, 2)
    assert (ranks.node, ranks.n_nodes) == (node, 2)
    assert ranks.is_first == (rank == 0)  # the second machine's local rank 0 is not the first rank


def test_one_machine_of_four_ranks(monkeypatch):
    ranks = started_with(monkeypatch, RANK=3, WORLD_SIZE=4, LOCAL_RANK=3, LOCAL_SIZE=4)
    assert (ranks.node, ranks.n_nodes) == (0, 1)


@pytest.mark.parametrize("empty", [{}, {"LOCAL_SIZE": ""}, {"LOCAL_WORLD_SIZE": ""}])
def test_without_a_number_of_local_ranks_all_are_on_this_machine(monkeypatch, empty):
    ranks = started_with(monkeypatch, RANK=1, WORLD_SIZE=2, LOCAL_RANK=1, **empty)
    assert (ranks.local_world_size, ranks.node, ranks.n_nodes) == (2, 0, 1)


def test_a_single_process_waits_for_nobody_and_has_its_own_value():
    """Without a process group, which a single rank does not need."""
    import torch.distributed as dist

    assert not dist.is_initialized()
    ranks = Ranks()
    value = {"marker": object()}
    ranks.barrier()
    assert ranks.from_first(value) is value
    gathered = ranks.gather(value)
    assert len(gathered) == 1
    assert gathered[0] is value
    ranks.close()
    assert not dist.is_initialized()
