"""Keep freed memory in the process instead of returning it to the system at every step.

A training step allocates and frees the same large blocks over and over. The C library of Linux
returns them to the kernel, which hands out zeroed pages again, one fault each: on some machines
a third of a step. A command, not the library, may decide this for its process.
"""

import ctypes
import platform

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_TOP_PAD = 64 << 20


def release_freed_memory() -> None:
    """Return the memory that malloc keeps to the system; only with glibc on Linux."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Make this process's malloc keep freed memory; return whether that is possible here.

    True with glibc on Linux; elsewhere nothing happens. Call it before the first large allocation.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = [
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, -1),
        (_M_TOP_PAD, _TOP_PAD),
        (_M_ARENA_MAX, 1),
    ]
    done = [mallopt(name, value) for name, value in settings]
    return all(done)
