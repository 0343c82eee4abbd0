"""Weights of fewer bits, where a package for them is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eraser.engines.loading import Loading
from eraser.errors import MissingExtra
from tests.engines.networks import ON_NETWORKS

pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines import quantising
from eraser.engines.devices import CPU
from eraser.engines.latent_records import Options
from eraser.engines.painter import Painter, Wish
from eraser.engines.placement import Placed, Plan, persistent
from tests import miniature_pipelines as made
from tests.engines.placement.placing import (
    SCENE,
    drawn,
    failing,
    pretended,
    run,
)

pytestmark = ON_NETWORKS


ALL_PACKAGES = quantising.PACKAGES


def test_fewer_bits_need_a_package(sd):
    loading = Loading(sd.place, "folder", quantised="4bit")
    with pytest.raises(MissingExtra, match="not installed") as told:
        Placed(loading, CPU)
    assert told.value.hint == "pip install torchao"


def test_weights_in_eight_bits_draw_nearly_the_same(tmp_path, monkeypatch):
    # bitsandbytes refuses to load without a GPU, so that only this way is tried
    pytest.importorskip("torchao", reason="torchao is not installed")
    monkeypatch.setattr(quantising, "PACKAGES", {"torchao": ("cpu",)})
    folder = Path(made.flux_fill(tmp_path / "flux"))
    whole = Painter(Loading(str(folder), "folder"))
    fewer = Painter(Loading(str(folder), "folder", quantised="8bit"))
    assert fewer.placed.plan.quantised == "8bit"
    assert "8-bit weights" in fewer.runs_on
    expected, found = drawn(whole), drawn(fewer)
    assert 0 < np.abs(found - expected).mean() < 0.1


@pytest.mark.parametrize(
    ("device", "here", "used"),
    [
        ("cuda:0", ("bitsandbytes", "torchao"), "bitsandbytes"),
        ("cuda:0", ("torchao",), "torchao"),
        ("cpu", ("bitsandbytes", "torchao"), "torchao"),
        ("cpu", ("bitsandbytes",), ""),
        ("mps", ("torchao",), "torchao"),
    ],
)
def test_packages_are_used_where_they_compute(monkeypatch, device, here, used):
    monkeypatch.setattr(quantising, "PACKAGES", ALL_PACKAGES)
    monkeypatch.setattr(quantising.importlib.util, "find_spec", lambda name: name in here or None)
    assert quantising.package(device) == used


def test_memory_that_runs_out_is_answered_by_fewer_bits_where_their_package_is(sd, plain, monkeypatch):
    from eraser.engines import checkpoints

    monkeypatch.setattr(quantising, "PACKAGES", {"torch": ("cpu",)})  # one that is there
    asked, real = [], checkpoints.load

    def load(loading: Loading, dtype: object, *, device: str) -> object:
        asked.append((loading.quantised, device))
        return real(Loading(loading.place, loading.kind), dtype)

    monkeypatch.setattr(checkpoints, "load", load)
    painter = Painter(sd, pretended(80))
    failing(painter, monkeypatch, 3)
    wish = (SCENE, Wish("a door", "fog", (1,), 0.99), Options(steps=3, guidance=2.0))
    picture, seen = run(persistent(painter.placed, lambda: painter.steps(*wish)))
    assert asked == [("", "cpu"), ("8bit", "cpu")]
    assert painter.placed.plan == Plan("whole", True, quantised="8bit")
    assert np.allclose(picture, plain, atol=1e-5)
    assert len(seen) > 10  # what was loaded anew is heard within its steps, too
    painter.placed.cheaper()
    painter.placed.cheaper()
    assert painter.placed.plan == Plan("layers", True)
    assert asked[2:] == [("", "cpu")]
    assert np.allclose(drawn(painter), plain, atol=1e-5)
