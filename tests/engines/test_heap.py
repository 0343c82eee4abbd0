"""Keeping freed memory is a wish that glibc grants and other systems need not."""

from __future__ import annotations

import platform

import pytest

from eraser.engines.heap import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another libc")
def test_glibc_can_be_told_to_keep_freed_memory():
    assert keep_freed_memory()
