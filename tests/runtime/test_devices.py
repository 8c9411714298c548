import os
import platform
from types import MappingProxyType

import pytest
import torch

from teleclass.runtime import devices


def have(monkeypatch, *, gpus=0, cores=2, capability=None, **cpu):
    """Give this machine so many GPUs of a compute capability, so many cores and these CPU features."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(cpu))


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (8, 8), (9, 8), (128, 8)])
def test_a_cpu_gets_a_worker_a_core_and_eight_at_most(monkeypatch, cores, workers):
    have(monkeypatch, cores=cores)
    assert devices.encoder_devices() == ["cpu"] * workers


def test_on_a_cpu_the_ranks_of_the_experiment_do_not_change_the_workers(monkeypatch):
    have(monkeypatch, cores=4)
    assert devices.encoder_devices(2) == devices.encoder_devices(0) == ["cpu"] * 4


@pytest.mark.parametrize(
    ("gpus", "ranks", "expected"),
    [
        (1, 0, ["cuda:0"]),
        (3, 0, ["cuda:0", "cuda:1", "cuda:2"]),
        (3, 2, ["cuda:0", "cuda:1"]),  # the launcher was told to leave the third GPU alone
        (2, 4, ["cuda:0", "cuda:1"]),
    ],
)
def test_gpus_come_before_the_cpu_one_worker_each(monkeypatch, gpus, ranks, expected):
    have(monkeypatch, gpus=gpus, cores=16)
    assert devices.encoder_devices(ranks) == expected


@pytest.mark.parametrize(
    ("gpus", "local_rank", "device"),
    [(0, 0, "cpu"), (0, 3, "cpu"), (2, 0, "cuda:0"), (2, 1, "cuda:1"), (2, 3, "cuda:1"), (1, 5, "cuda:0")],
)
def test_ranks_take_the_gpus_in_turn_and_share_the_cpu(monkeypatch, gpus, local_rank, device):
    have(monkeypatch, gpus=gpus)
    assert devices.rank_device(local_rank) == device


@pytest.mark.parametrize(
    ("cpu", "dtype"),
    [
        ({}, torch.float32),
        ({"avx2": True, "avx512_f": True, "avx512_fp16": True}, torch.float32),
        ({"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"architecture": "aarch64", "bf16": True}, torch.bfloat16),
        ({"architecture": "aarch64", "bf16": False}, torch.float32),
    ],
)
def test_a_cpu_computes_in_bf16_only_where_it_has_instructions_for_it(monkeypatch, cpu, dtype):
    have(monkeypatch, capability=(9, 0), **cpu)
    assert devices.inference_dtype("cpu") is dtype


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((7, 0), torch.float16), ((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_a_gpu_computes_in_bf16_from_ampere_on_and_in_fp16_before(monkeypatch, capability, dtype):
    have(monkeypatch, gpus=1, capability=capability, avx512_bf16=True)
    assert devices.inference_dtype("cuda:0") is dtype


@pytest.mark.parametrize(("amx", "avx512", "has"), [(True, True, True), (False, True, False), (False, False, False)])
def test_amx_is_more_than_bf16_instructions(monkeypatch, amx, avx512, has):
    have(monkeypatch, capability=(9, 0), amx_bf16=amx, avx512_bf16=avx512)
    assert devices.has_amx() is has


@pytest.mark.parametrize(("amx", "avx512", "has"), [(True, False, True), (False, True, True), (False, False, False)])
def test_onednn_multiplies_where_it_has_kernels_for_the_registers_of_amx_or_of_late_avx512(
    monkeypatch, amx, avx512, has
):
    have(monkeypatch, capability=(9, 0), amx_bf16=amx, avx512_bf16=avx512)
    assert devices.has_onednn_products() is has


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="feature names of x86")
def test_the_cpu_features_that_are_asked_for_are_names_that_torch_knows():
    assert {"avx512_bf16", "amx_bf16"} <= set(torch.cpu.get_capabilities())


def test_this_cpu_multiplies_in_the_type_that_is_chosen_for_it():
    matrix = torch.eye(4, dtype=devices.inference_dtype("cpu"))
    assert (matrix @ matrix).float().equal(torch.eye(4))
    assert devices.cpu_cores() >= 1
    assert devices.device_name("cpu")


@pytest.mark.parametrize("has_huge_pages", [True, False])
def test_torch_is_set_up_as_the_user_has_it_and_asks_for_huge_pages_where_there_are_some(monkeypatch, has_huge_pages):
    monkeypatch.setattr(os.path, "exists", lambda path: has_huge_pages)
    monkeypatch.setattr(os, "environ", {"OMP_WAIT_POLICY": "active"})
    devices.set_up_torch()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    assert os.environ.get("THP_MEM_ALLOC_ENABLE") == ("1" if has_huge_pages else None)
    assert os.environ["LRU_CACHE_CAPACITY"] == "128"
