"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# read when OpenMP starts: threads that spin while they wait make a shared machine many times slower
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# a single example may take twenty times longer on a busy machine; pytest-timeout watches over the whole
settings.register_profile("patient", deadline=None)
settings.register_profile("patient and the same", deadline=None, derandomize=True)
# with a seed, as in CI, a change is judged by the same examples as the one before it
settings.load_profile("patient and the same" if "ERASER_FUZZ_SEED" in os.environ else "patient")
