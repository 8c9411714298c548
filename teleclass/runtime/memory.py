"""Peak memory of this process and of its device."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class MemoryPeak:
    """Highest memory use since :func:`reset_gpu_peak`, in MB; the resident set is the process's whole life's."""

    rss_mb: float
    gpu_mb: float


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
    return MemoryPeak(rss_mb=_rss_peak_mb(), gpu_mb=gpu)


def _rss_peak_mb() -> float:
    try:
        with open("/proc/self/status") as stream:
            for line in stream:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
