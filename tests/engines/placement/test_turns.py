"""Several drawings take turns on one device, and share out several."""

from __future__ import annotations

import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.engines.networks import ON_NETWORKS

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines.crew import Crew  # noqa: E402
from eraser.engines.gate import Gate  # noqa: E402
from eraser.engines.latent_records import Options  # noqa: E402
from eraser.engines.painter import Painter, Wish  # noqa: E402
from eraser.engines.placement import Plan, persistent  # noqa: E402
from tests.engines.placement.placing import SCENE, drawn, on_plan, pretended, run  # noqa: E402

pytestmark = ON_NETWORKS


def test_several_may_be_inside_but_one_alone():
    gate = Gate()
    assert [*gate.entered(alone=False)] == []
    assert [*gate.entered(alone=False)] == []
    waiting = gate.entered(alone=True)
    next(waiting)
    for _ in range(2):
        next(waiting)
        with gate.held():
            pass
    assert [*waiting] == []
    blocked = gate.entered(alone=False)
    next(blocked)
    with gate.held():
        next(blocked)
    assert [*blocked] == []


def test_two_drawings_in_one_thread_that_move_the_parts_take_turns(sd, plain):
    painter = on_plan(sd, Plan("parts", True))
    wish = (SCENE, Wish("a door", "fog", (1,), 0.99), Options(steps=3, guidance=2.0))
    both = [persistent(painter.placed, lambda: painter.steps(*wish)) for _ in range(2)]
    pictures = {}
    while len(pictures) < 2:
        for number, steps in enumerate(both):
            if number not in pictures:
                try:
                    done, _ = next(steps)
                    # the second waits until the first has come to its end
                    assert number == 0 or done == 0 or 0 in pictures
                except StopIteration as finished:
                    pictures[number] = finished.value
    assert all(np.allclose(picture, plain, atol=1e-5) for picture in pictures.values())


def test_two_drawings_at_once_whose_memory_runs_out_agree_on_one_next_plan(sd, plain, monkeypatch):
    painter = Painter(sd, pretended(80))
    forward, both = type(painter._net).forward, threading.Barrier(2)
    failed = set()

    def full(self, *given: object, **named: object) -> object:
        if len(failed) < 2 and threading.get_ident() not in failed:
            failed.add(threading.get_ident())
            both.wait(60)
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, *given, **named)

    monkeypatch.setattr(type(painter._net), "forward", full)
    with ThreadPoolExecutor(2) as pool:
        pictures = [*pool.map(lambda _: drawn(painter), range(2))]
    assert all(np.allclose(picture, plain, atol=1e-5) for picture in pictures)
    assert painter.placed.plan == Plan("whole", True)
    assert painter.facts["memory_ran_out"] == 1


def test_seeds_are_dealt_out_to_two_devices_and_draw_what_one_would(sd):
    made_of = []

    def painter(name: str) -> Painter:
        made_of.append(name)
        return Painter(sd, pretended(80, name=name))

    crew = Crew([functools.partial(painter, name) for name in ("GPU (one)", "GPU (two)")])
    assert made_of == ["GPU (one)"]  # the second is loaded when it is needed
    assert crew.lanes == 2
    alone = Painter(sd)
    wishes = [(SCENE, Wish("a door", "fog", (seed,), 0.99), Options(steps=3, guidance=2.0)) for seed in range(4)]
    told: dict[int, str] = {}

    def draw(number: int) -> np.ndarray:
        steps = crew.steps(*wishes[number])
        next(steps)
        told[number] = crew.runs_on
        if number < 2:
            time.sleep(0.2)  # so that both are under way at once
        return run(steps)[0]

    with ThreadPoolExecutor(2) as pool:
        pictures = [*pool.map(draw, range(4))]
    assert made_of == ["GPU (one)", "GPU (two)"]
    assert {told[0], told[1]} == {"GPU (one)", "GPU (two)"}
    for picture, wish in zip(pictures, wishes, strict=True):
        assert np.array_equal(picture, run(alone.steps(*wish))[0])


def test_a_drawing_that_is_given_up_frees_its_device(sd):
    crew = Crew([functools.partial(Painter, sd, pretended(80, name=name)) for name in ("one", "two")])
    for _ in range(3):
        steps = crew.steps(SCENE, Wish("a door", "", (1,), 0.99), Options(steps=3))
        next(steps)
        assert crew.runs_on == "one"
        steps.close()
    assert crew._painters[1] is None
