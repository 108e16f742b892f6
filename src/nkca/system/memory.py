"""How much memory this process may use, and how much a piece of work takes at its peak.

On the CPU "memory" is the resident set of the process, as Linux counts it: tensors, but also what the
libraries take for themselves while they compute and what the allocator cannot give back, often as much
again. So it is measured, not added up from shapes.
"""

import ctypes
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from nkca.errors import InputError

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # cgroup v1 writes a number near 2^63 where there is no limit
RESET_PEAK = "5"  # proc(5), /proc/PID/clear_refs


def as_text(size: float) -> str:
    """``6.1 GiB`` or ``480 MiB``."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def is_measurable(device: torch.device) -> bool:
    """Whether `peak` works for the device here."""
    return device.type == "cuda" or (device.type == "cpu" and platform.system() == "Linux")


def held(device: torch.device) -> int:
    """Bytes of the device that this process holds now."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    return _field(Path("/proc/self/status"), "VmRSS:")


def available(device: torch.device) -> int:
    """Bytes of the device that this process could hold besides those it holds."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = _field(Path("/proc/meminfo"), "MemAvailable:")
    return min([free, *_cgroup_headroom(Path("/proc/self/cgroup"), CGROUPS)])


@dataclass(frozen=True)
class Peak:
    """Bytes held ``before`` a piece of work, and by how much that rose at most."""

    before: int
    rise: int


def peak(work: Callable[[], None], device: torch.device) -> Peak | None:
    """Do ``work`` and measure its memory; None if the memory of a CUDA device ran out.

    What had been freed before is first given back to the system, so that it does not hide the rise.

    Raises:
        InputError: where the system does not say.
    """
    release(device)
    before = held(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        try:
            work()
        except torch.cuda.OutOfMemoryError:
            return None
        finally:
            torch.cuda.synchronize(device)
        return Peak(before, torch.cuda.max_memory_reserved(device) - before)
    try:
        Path("/proc/self/clear_refs").write_text(RESET_PEAK, encoding="ascii")
    except OSError as error:
        raise InputError(
            f"the peak of memory cannot be measured here ({error}): give accumulate=N and "
            "activation_checkpointing=N, without max_memory"
        ) from error
    work()
    return Peak(before, _field(Path("/proc/self/status"), "VmHWM:") - before)


def release(device: torch.device) -> None:
    """Give freed memory back to the system."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _field(path: Path, name: str) -> int:
    """A line ``name 123 kB`` of a file in /proc, in bytes."""
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    raise InputError(f"{path} has no line {name}")


def _cgroup_headroom(of_process: Path, root: Path) -> Iterator[int]:
    """Bytes left in each memory cgroup of this process and above it, of versions 1 and 2."""
    try:
        lines = of_process.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers == "":
            folder, limit, usage = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            folder, limit, usage = (
                root / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
        else:
            continue
        inside = folder / path.lstrip("/")
        for group in [inside, *inside.parents]:
            if group != folder and folder not in group.parents:
                break
            if (headroom := _headroom(group, limit, usage)) is not None:
                yield headroom


def _headroom(group: Path, limit: str, usage: str) -> int | None:
    """Bytes below the limit of one cgroup; file pages that can be dropped count as free."""
    try:
        at_most, used = (group / limit).read_text().strip(), int((group / usage).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if at_most == "max" or int(at_most) >= UNLIMITED:
        return None
    droppable = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    return max(0, int(at_most) - used + droppable)
