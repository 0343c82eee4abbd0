"""How tests of miniature networks are marked: in one thread, and deaf to what their libraries warn of."""

from __future__ import annotations

import pytest

ON_NETWORKS = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
