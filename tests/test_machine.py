"""What the machine grants the process, and that a fork does not lose it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eraser import machine

FORK = """
import os, sys
import numpy as np
import eraser
photo = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
hole = np.zeros((200, 200), bool)
hole[50:150, 50:150] = True  # large enough for several threads
before = eraser.erase(photo, hole, grow=0)
child = os.fork()
if child == 0:
    os._exit(0 if (eraser.erase(photo, hole, grow=0) == before).all() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_the_processors_counted_are_those_granted():
    assert 1 <= machine.usable_processors() <= (os.cpu_count() or 1)


def test_kernels_are_never_kept_under_a_name_that_others_could_take(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "file" / "no folder")
    (tmp_path / "file").write_text("in the way")
    places = [machine.kernel_cache() for _ in range(2)]
    assert places[0] != places[1]
    assert all(place.stat().st_mode & 0o077 == 0 for place in places)
    for place in places:
        place.rmdir()


def test_kernels_are_kept_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    assert machine.kernel_cache() == tmp_path / "cache" / "numba"
    assert (tmp_path / "cache" / "numba").is_dir()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.timeout(120)
def test_a_forked_process_paints_the_same_and_does_not_hang():
    package = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], cwd=package, timeout=100, check=False)
    assert done.returncode == 0
