"""How tests of miniature networks are marked: deaf to what their libraries warn of, and most of them in one thread."""

from __future__ import annotations

import pytest

DEAF = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
ON_NETWORKS = [pytest.mark.usefixtures("one_thread"), *DEAF]
