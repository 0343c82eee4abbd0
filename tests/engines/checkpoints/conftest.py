"""Miniature checkpoints, and what is put onto them.

torch and diffusers are imported where they are needed: the modules with the tests skip where they are not installed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def shelf(one_thread, tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def sd(shelf) -> Path:
    from tests import miniature_pipelines as made

    return made.stable_diffusion(shelf / "sd")


@pytest.fixture(scope="module")
def flux(shelf) -> Path:
    from tests import miniature_pipelines as made

    return made.flux_fill(shelf / "flux")


@pytest.fixture(scope="module")
def look(shelf, sd) -> Path:
    from tests import miniature_extras as extras

    return extras.lora(sd, shelf / "look.safetensors")


@pytest.fixture(scope="module")
def one_file(shelf, sd) -> Path:
    from tests import miniature_extras as extras

    (shelf / "files").mkdir()
    return extras.single_file(sd, shelf / "files" / "one.safetensors")


@pytest.fixture(scope="module")
def adapter(shelf) -> Path:
    from tests import miniature_extras as extras

    (shelf / "adapter").mkdir()
    return extras.adapter(shelf / "adapter" / "ip-adapter.safetensors")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def plain(sd) -> np.ndarray:
    from tests.engines.checkpoints.drawings import drawing

    return drawing(sd)
