"""Which devices there are, and which 16-bit format each is fast at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from teleclass.runtime.memory import keep_freed_memory

if TYPE_CHECKING:
    import torch

MAX_CPU_WORKERS = 8
"""Each worker holds a copy of the encoder, so a large machine gets fewer workers of several threads."""


def set_up_torch() -> None:
    """Settings that torch reads once; must run before it is imported. What the user has set stays.

    Waiting OpenMP threads sleep instead of spin: a thread that spins keeps the one it waits for off the core. With two
    threads on two cores that another process used too, a training step took 3.9 s spinning and 1.1 s sleeping.

    oneDNN and torch keep 128 compiled products of each kind instead of 1,024, one for every shape. With ever new
    numbers of tokens a worker that files texts grew to 1.9 GB. A training step has some 110 shapes; with 64 kept they
    pushed each other out (docs/log.md).

    Arrays of 2 MB or more lie in pages of that size where the kernel has such: a training step took .96 of its CPU time
    on one thread of a virtual machine with a Xeon.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "128")
    if os.path.exists("/sys/kernel/mm/transparent_hugepage"):  # torch warns of a kernel that has none
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def cpu_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


def share_cores(device: str, processes: int) -> None:
    """Take this process's part of the machine's cores, for torch on a CPU and for the tokenizer anywhere.

    Parameters
    ----------
    processes : how many on this machine compute at once.
    """
    threads = max(1, cpu_cores() // processes)
    # One thread tokenises some 6,000 reviews a second: fewer than a large GPU is computed to encode (docs/scaling.md).
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    if device == "cpu":
        import torch

        torch.set_num_threads(threads)
        keep_freed_memory()


def visible_gpus() -> int:
    """CUDA devices visible to this process; reads ``CUDA_VISIBLE_DEVICES`` by way of torch."""
    import torch

    return torch.cuda.device_count()


def encoder_devices(local_ranks: int = 0) -> list[str]:
    """One entry a worker: every visible GPU, or on a CPU one-thread workers.

    Two workers of one thread encode 1.88 times as fast as one, one worker of two threads 1.76 times.

    Parameters
    ----------
    local_ranks : processes of the experiment on this machine; 0 uses every visible GPU.
    """
    n_gpus = visible_gpus()
    if n_gpus:
        return [f"cuda:{index}" for index in range(min(n_gpus, local_ranks) if local_ranks > 1 else n_gpus)]
    return ["cpu"] * min(cpu_cores(), MAX_CPU_WORKERS)


def rank_device(local_rank: int) -> str:
    """The device of one rank."""
    n_gpus = visible_gpus()
    return f"cuda:{local_rank % n_gpus}" if n_gpus else "cpu"


def device_name(device: str) -> str:
    """What the device is called, for logs and tags."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return str(_cpu_capabilities().get("cpu_name", "cpu"))


def fast_bf16(device: str) -> bool:
    """Whether the device has bf16 arithmetic of its own; on other CPUs bf16 is slower than fp32."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = _cpu_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def has_amx() -> bool:
    """Whether this CPU multiplies bf16 matrices a tile at a time.

    oneDNN then takes bf16 for products of fp32 matrices too, where that is allowed; on CPUs whose bf16 instructions are
    those of AVX-512 alone it does not.
    """
    return bool(_cpu_capabilities().get("amx_bf16"))


def has_onednn_products() -> bool:
    """Whether torch hands products of fp32 matrices to oneDNN, where it may round them, and that is worth it.

    With AMX oneDNN rounds the factors to bf16. With AVX-512's bf16 instructions alone it stays in fp32: at the speed of
    numpy's BLAS on a Xeon, in half of its time on an EPYC (docs/log.md).
    """
    return has_amx() or bool(_cpu_capabilities().get("avx512_bf16"))


def inference_dtype(device: str) -> torch.dtype:
    """bf16 where it is fast, else fp16 on GPUs and fp32 on CPUs."""
    import torch

    if fast_bf16(device):
        return torch.bfloat16
    return torch.float16 if device.startswith("cuda") else torch.float32


def _cpu_capabilities() -> dict:
    """What torch says of this CPU; nothing where torch is too old to say."""
    import torch

    return dict(torch.cpu.get_capabilities()) if hasattr(torch.cpu, "get_capabilities") else {}
