"""How much memory this process may use, and how much the tensors of a piece of work take."""

import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # cgroup v1 writes a number near 2^63 where there is no limit


def as_text(size: float) -> str:
    """``6.1 GiB``, ``480 MiB``, or ``less than 1 MiB``."""
    if size < 2**20:
        return "less than 1 MiB"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def held(device: torch.device) -> int:
    """Bytes of the device that this process holds now."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    return int(psutil.Process().memory_info().rss)


def available(device: torch.device) -> int:
    """Bytes of the device that this process could hold besides those it holds."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = int(psutil.virtual_memory().available)
    return min([free, *_cgroup_headroom(Path("/proc/self/cgroup"), CGROUPS)])


class TensorBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within its block: the bytes of tensors made there that exist, ``now`` and at the ``peak``.

    Args:
        known: tensors from before the block, which are not counted when an operation returns them.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.peak: int = 0
        self._seen = {tensor.untyped_storage().data_ptr() for tensor in known}

    def __torch_dispatch__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call the operation and count the memory of its results."""
        results = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return results

    def _count(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        if address and address not in self._seen:
            self._seen.add(address)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, address, size)

    def _forget(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self.now -= size


def _cgroup_headroom(of_process: Path, root: Path) -> Iterator[int]:
    """Bytes left in each memory cgroup of this process and above it, of versions 1 and 2."""
    lines = of_process.read_text(encoding="utf-8").splitlines() if of_process.exists() else []
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers == "":
            folder, limit, usage = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            folder = root / "memory"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        inside = folder / path.lstrip("/")
        for group in (g for g in (inside, *inside.parents) if g.is_relative_to(folder)):
            if (headroom := _headroom(group, limit, usage)) is not None:
                yield headroom


def _headroom(group: Path, limit: str, usage: str) -> int | None:
    """Bytes below the limit of one cgroup; file pages that can be dropped count as free."""
    try:
        at_most, used = int((group / limit).read_text()), int((group / usage).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # there is none here, or it is "max"
        return None
    droppable = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    return None if at_most >= UNLIMITED else max(0, at_most - used + droppable)
