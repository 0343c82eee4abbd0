"""A pipeline is placed by the memory that is there, and every plan draws the same picture."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.networks import ON_NETWORKS

pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines.devices import CPU
from eraser.engines.memory_needs import GB, Needs
from eraser.engines.placement import Placed, Plan, ladder
from tests.engines.placement.placing import drawn, on_plan, pretended

pytestmark = ON_NETWORKS


LARGE = Needs({"words": 9 * GB, "denoiser": 24 * GB, "vae": GB // 4}, GB // 8, GB, 4 * GB, GB)


@pytest.mark.parametrize(
    ("free", "package", "plan"),
    [
        (80, True, Plan("whole")),
        (36, True, Plan("whole", True)),
        (28, True, Plan("parts", True)),
        (21, True, Plan("whole", True, quantised="8bit")),
        (16, True, Plan("parts", True, quantised="8bit")),
        (12, True, Plan("layers", True)),
        (12, False, Plan("layers", True)),
        (21, False, Plan("layers", True)),
        (1, True, Plan("processor", True)),
    ],
)
def test_the_quickest_plan_that_fits_the_memory_is_the_first(free, package, plan):
    plans = ladder(pretended(free), "", can_quantise=package)
    assert next(one for one in plans if one.takes(LARGE) <= free * GB) == plan


def test_memory_that_is_shared_with_the_processor_is_not_saved_by_bringing_parts():
    plans = ladder(pretended(8, shares_memory=True), "", can_quantise=True)
    assert [plan.where for plan in plans] == ["whole", "whole", "whole", "processor"]
    assert [plan.sliced for plan in plans] == [False, False, True, False]


def test_plans_say_truly_where_they_compute():
    device = pretended(1, name="GPU (Card, CUDA)")
    assert Plan("whole").on(device) == "GPU (Card, CUDA)"
    assert Plan("parts", True).on(device) == "GPU (Card, CUDA), its parts in turn, decoding in tiles"
    assert Plan("whole", True, quantised="4bit").on(device) == "GPU (Card, CUDA), 4-bit weights, decoding in tiles"
    assert Plan("processor", True).on(device).startswith("CPU")


@pytest.mark.parametrize("plan", ladder(pretended(1), "", can_quantise=False), ids=lambda plan: plan.on(CPU))
def test_a_checkpoint_is_placed_by_the_memory_that_is_free(sd, plan):
    needed = Placed(sd, CPU).needs
    assert needed.parts.keys() == {"vae", "text_encoder", "unet"}
    placed = Placed(sd, pretended(plan.takes(needed) / GB))
    assert placed.plan.takes(needed) == plan.takes(needed)  # at this size tiles save nothing
    assert placed.facts["device"] == placed.runs_on


@pytest.mark.parametrize("plan", ladder(pretended(1), "", can_quantise=False), ids=lambda plan: plan.on(CPU))
def test_every_plan_draws_the_same_picture_again_and_again(sd, plain, plan):
    painter = on_plan(sd, plan)
    for _ in range(2):
        assert np.allclose(drawn(painter), plain, atol=1e-5)
    hooked = [hasattr(module, "_hf_hook") for module in painter._pipeline.unet.modules()]
    assert (hooked[0], any(hooked[1:])) == {"parts": (True, False), "layers": (True, True)}.get(
        plan.where, (False, False)
    )
    assert painter._pipeline.vae.use_tiling == plan.tiled
