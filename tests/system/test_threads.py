"""Threads of the commands sleep soon while they wait, unless the user says how they wait."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "PASSIVE 1000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        ({"GOMP_SPINCOUNT": "1000"}, "None 1000"),
    ],
)
def test_a_command_decides_before_pytorch_is_there(given: dict[str, str], expected: str) -> None:
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    script = (
        "import os, sys\n"
        "from nkca.cli import sample\n"
        "assert 'torch' not in sys.modules\n"
        "sys.argv[1:] = ['nothing.pth', '--quiet']\n"
        "try:\n    sample.main()\nexcept SystemExit as error:\n    assert error.code == 2\n"
        "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], env={**environment, **given}, capture_output=True, text=True
    )
    assert run.stdout.strip() == expected, run.stderr
