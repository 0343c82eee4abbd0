"""What the tests of networks share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def one_thread():
    """Miniature networks are slower on several."""
    torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
