"""What is freed stays with the process."""

import platform
import subprocess
import sys

import pytest

LOOP = """
import resource, sys
from nkca.system.allocator import keep_freed_memory
assert sys.argv[1] == "default" or keep_freed_memory()
bytearray(1 << 26)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    block = bytearray(1 << 26)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kind: str) -> int:
    """Page faults of taking and freeing 64 MiB four times more."""
    command = [sys.executable, "-c", LOOP, kind]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_block_taken_again_costs_no_new_pages() -> None:
    kept, default = faults("keep"), faults("default")
    assert kept < 100 < default
