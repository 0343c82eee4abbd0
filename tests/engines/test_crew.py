"""Variations by a checkpoint on two devices, through the session: pretended GPUs that compute on the processor."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from eraser.engines.loading import Loading
from eraser.geometry import Box
from eraser.session import Eraser

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines.crew import Crew  # noqa: E402
from eraser.engines.latent import LatentEngine  # noqa: E402
from eraser.engines.latent_records import Options  # noqa: E402
from eraser.engines.painter import Painter  # noqa: E402
from tests import miniature_pipelines as made  # noqa: E402
from tests.engines.networks import DEAF  # noqa: E402
from tests.engines.placement.placing import INFO, pretended  # noqa: E402

pytestmark = DEAF
PHOTO = np.random.default_rng(0).integers(0, 255, (48, 60, 3), np.uint8)


def session_on(loading: Loading, *names: str) -> Eraser:
    crew = Crew([functools.partial(Painter, loading, pretended(80, name=name)) for name in names])
    session = Eraser()
    session._engine = LatentEngine(INFO, crew, Options(steps=3, guidance=2.0), threads=1)
    return session


def test_two_devices_share_the_variations_and_give_what_one_gives(tmp_path):
    loading = Loading(str(made.stable_diffusion(tmp_path / "sd")), "folder")
    asked = {"prompt": "a door", "grow": 0, "count": 4, "seed": 7}
    reports = []
    both = session_on(loading, "GPU (one)", "GPU (two)")
    results = both.variations(PHOTO, Box(20, 14, 16, 16), on_report=reports.append, **asked)
    assert {report.device for report in reports} == {"GPU (one)", "GPU (two)"}
    assert sorted(report.seed for report in reports) == [7, 8, 9, 10]
    alone = session_on(loading, "GPU (one)").variations(PHOTO, Box(20, 14, 16, 16), **asked)
    for result, expected in zip(results, alone, strict=True):
        assert np.array_equal(result, expected)
    assert len({result.tobytes() for result in results}) == 4
