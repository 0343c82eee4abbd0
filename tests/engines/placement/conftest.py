"""A miniature checkpoint to be placed, on a processor that is pretended to be a GPU.

torch and diffusers are imported where they are needed: the modules with the tests skip where they are not installed.
"""

from __future__ import annotations

import numpy as np
import pytest

from eraser.engines.loading import Loading


@pytest.fixture(scope="module")
def sd(one_thread, tmp_path_factory) -> Loading:
    from tests import miniature_pipelines as made

    return Loading(str(made.stable_diffusion(tmp_path_factory.mktemp("placement") / "sd")), "folder")


@pytest.fixture(autouse=True)
def without_quantising(monkeypatch):
    from eraser.engines import quantising

    monkeypatch.setattr(quantising, "PACKAGES", {})


@pytest.fixture(autouse=True)
def processor_without_a_number(monkeypatch):
    """diffusers numbers every device, and torch copies tensors from cpu to cpu:0 although they are the same."""
    import accelerate
    import torch

    offload = accelerate.cpu_offload
    monkeypatch.setattr(accelerate, "cpu_offload", lambda model, _, **more: offload(model, torch.device("cpu"), **more))


@pytest.fixture(scope="module")
def plain(sd) -> np.ndarray:
    from eraser.engines.painter import Painter
    from tests.engines.placement.placing import drawn

    return drawn(Painter(sd))
