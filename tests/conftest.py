"""What holds for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# files of tests that together take more than twenty seconds on two cores
LONG = (
    "training/test_train.py",
    "contract/test_engines.py",
    "doors/gimp/test_real_gimp.py",
    "test_fuzz.py",
    "doors/test_serve.py",
    "doors/test_client.py",
    "doors/web/test_browser_painting.py",
    "doors/web/test_browser_waiting.py",
    "doors/web/test_browser_tools.py",
    "engines/placement/test_memory.py",
)

# read when OpenMP starts: threads that spin while they wait make a shared machine many times slower
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# a single example may take twenty times longer on a busy machine; pytest-timeout watches over the whole
settings.register_profile("patient", deadline=None)
settings.register_profile("patient and the same", deadline=None, derandomize=True)
# with a seed, as in CI, a change is judged by the same examples as the one before it
settings.load_profile("patient and the same" if "ERASER_FUZZ_SEED" in os.environ else "patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: with several processes none works on at the end while the others have nothing left to do."""
    root = Path(__file__).parent
    places = {root / name: number for number, name in enumerate(LONG)}
    assert all(place.is_file() for place in places), "a file of LONG is no longer there"
    items.sort(key=lambda item: places.get(item.path, len(LONG)))
