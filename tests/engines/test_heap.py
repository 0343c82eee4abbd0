"""Keeping freed memory is a wish that glibc grants and other systems need not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from eraser.__main__ import main
from eraser.engines.heap import KEEP, keep_freed_memory, share_one_arena

GLIBC = platform.libc_ver()[0] == "glibc"
THREAD = """
import resource, sys, threading
from eraser.__main__ import main
main(["--version"])
import numpy as np
from eraser.engines.heap import keep_freed_memory
keep_freed_memory()
faults = []
def work():
    for _ in range(5):
        np.ones(5 << 20)  # 40 MB: more than a thread's own arena would ever hold
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("faults", faults[-1] - faults[0])
"""


@pytest.mark.skipif(not GLIBC, reason="another libc")
def test_a_thread_of_the_command_finds_the_memory_that_it_freed():
    def faults(kept: str) -> int:
        said = subprocess.run(
            [sys.executable, "-c", THREAD], env=os.environ | {KEEP: kept}, capture_output=True, text=True, check=True
        )
        return int(said.stdout.split()[-1])

    # four blocks mapped anew are at least eighty pages, huge ones
    assert faults("1") < 20 < 60 < faults("0")


@pytest.mark.skipif(not GLIBC, reason="another libc")
@pytest.mark.parametrize("tell", [keep_freed_memory, share_one_arena])
def test_glibc_can_be_told_to_keep_freed_memory(monkeypatch, tell):
    monkeypatch.setenv(KEEP, "1")
    assert tell()


@pytest.mark.parametrize("said", [None, "0", ""])
def test_somebody_elses_process_is_left_as_it_is(monkeypatch, said):
    monkeypatch.delenv(KEEP, raising=False)
    if said is not None:
        monkeypatch.setenv(KEEP, said)
    monkeypatch.setattr("ctypes.CDLL", lambda *_: pytest.fail("the heap was touched"))
    assert not keep_freed_memory()
    assert not share_one_arena()


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_the_command_asks_for_it_unless_it_is_switched_off(monkeypatch, before, after):
    monkeypatch.setenv(KEEP, "")  # so that what the command sets is taken back
    monkeypatch.delenv(KEEP)
    if before is not None:
        monkeypatch.setenv(KEEP, before)
    assert main(["--version"]) == 0
    assert os.environ[KEEP] == after
