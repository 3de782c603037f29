"""Nothing changes its last bit with the processor [S11]: the same digest without FMA and AVX2, and from code made for any processor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from folders import SUPPORT

VARIANTS = {
    "as it is": {},
    "libm without FMA and AVX2": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2"},
    "kernels for any processor": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
}


@pytest.mark.heavy
def test_the_processor_does_not_matter(tmp_path: Path) -> None:
    digests = {}
    for name, extra in VARIANTS.items():
        # Kernels for any processor are compiled anew: those made for this one would prove nothing. Another libm is met by the same kernels.
        fresh = {"NUMBA_CACHE_DIR": str(tmp_path)} if "NUMBA_CPU_NAME" in extra else {}
        env = {**os.environ, **fresh, **extra}
        done = subprocess.run(
            [sys.executable, str(SUPPORT / "digest.py")], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"
        digests[name] = done.stdout.splitlines()[-1]
    assert len(set(digests.values())) == 1, digests
