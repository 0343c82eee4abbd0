"""Keeping freed memory is a wish that glibc grants and other systems need not."""

from __future__ import annotations

import os
import platform

import pytest

from eraser.__main__ import main
from eraser.engines.heap import KEEP, keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another libc")
def test_glibc_can_be_told_to_keep_freed_memory(monkeypatch):
    monkeypatch.setenv(KEEP, "1")
    assert keep_freed_memory()


@pytest.mark.parametrize("said", [None, "0", ""])
def test_somebody_elses_process_is_left_as_it_is(monkeypatch, said):
    monkeypatch.delenv(KEEP, raising=False)
    if said is not None:
        monkeypatch.setenv(KEEP, said)
    monkeypatch.setattr("ctypes.CDLL", lambda *_: pytest.fail("the heap was touched"))
    assert not keep_freed_memory()


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_the_command_asks_for_it_unless_it_is_switched_off(monkeypatch, before, after):
    monkeypatch.setenv(KEEP, "")  # so that what the command sets is taken back
    monkeypatch.delenv(KEEP)
    if before is not None:
        monkeypatch.setenv(KEEP, before)
    assert main(["--version"]) == 0
    assert os.environ[KEEP] == after
