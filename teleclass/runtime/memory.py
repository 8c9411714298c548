"""Peak memory of this process and of its device, and how it is kept between steps."""

from __future__ import annotations

import ctypes
import resource
import sys
from dataclasses import dataclass

from teleclass.runtime.console import log

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # from malloc.h


@dataclass(frozen=True)
class MemoryPeak:
    """Highest memory use since :func:`reset_gpu_peak`, in MB; the resident set is the process's whole life's.

    ``halvings`` is how often less had to be computed at once since :func:`reset_halvings`.
    """

    rss_mb: float
    gpu_mb: float
    halvings: int = 0


def reset_gpu_peak() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def reset_rss_peak() -> None:
    """Start a new peak of the resident set, where the kernel lets us (Linux: clear_refs 5)."""
    try:
        with open("/proc/self/clear_refs", "w") as stream:
            stream.write("5")
    except OSError:
        return


def peak() -> MemoryPeak:
    torch = sys.modules.get("torch")
    gpu = 0.0
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        gpu = max(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count())) / 2**20
    return MemoryPeak(rss_mb=_rss_peak_mb(), gpu_mb=gpu, halvings=_halvings)


_halvings = 0


def reset_halvings() -> None:
    global _halvings
    _halvings = 0


def tell_halving(device: str, what: str, before: int, after: int, more: str = "") -> None:
    """Say that a device ran out of memory, and that less of something is computed at once from here on."""
    global _halvings
    _halvings += 1
    log.info("  out of memory on %s: %s go down from %s to %s", device, what, f"{before:,}", f"{after:,}{more}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch could not get memory for a tensor, on a GPU or on the CPU."""
    torch = sys.modules.get("torch")
    return torch is not None and (
        isinstance(error, torch.OutOfMemoryError)
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error))
    )


def release_memory() -> None:
    """Give back what torch holds of a GPU for tensors that are gone; call it outside of the ``except`` block."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, for arrays that every step allocates anew on a CPU.

    Given back to the kernel, each page of them is zeroed and mapped again at its next use: a training step of 16
    documents took .61 s of CPU time, and .49 s with the memory kept (MiniLM, bf16, one thread). Must run before the
    threads that reduce gradients are started: each would have an arena of its own, which is given back all the same.
    Elsewhere than under glibc this does nothing.
    """
    allocate = getattr(ctypes.CDLL(None), "mallopt", None)
    if allocate is not None:
        allocate(_M_MMAP_MAX, 0)  # no mapping of its own for any array
        allocate(_M_TRIM_THRESHOLD, 2**31 - 1)
        allocate(_M_ARENA_MAX, 1)


def _rss_peak_mb() -> float:
    try:
        with open("/proc/self/status") as stream:
            for line in stream:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
