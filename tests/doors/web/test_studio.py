"""What happens on the server when somebody does something on the page, without a browser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from eraser.engines.base import Progress
from tests.doors.web.scenes import scene
from tests.doors.web.studios import LARGE, SPOT, last, mask_png, send

pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[web]' in the clone")

from web_demo import runs
from web_demo.studio import Studio
from web_demo.tasks import Erasing, Settings, settings


def test_nothing_on_the_desk_and_nonsense_are_answered_with_sentences(studio: Studio) -> None:
    async def act() -> None:
        assert "no photo yet" in (await last(studio.erase("me", {}, Settings)))["error"]
        assert "no photo yet" in (await last(studio.extend("me", {}, Settings)))["error"]
        await studio.example("me", {"number": "nonsense"})
        assert "-5" in (await last(studio.extend("me", {"sides": {"left": -5}}, Settings)))["error"]
        assert "aspect" in (await last(studio.extend("me", {"aspect": "x"}, Settings)))["error"]
        view = await last(studio.erase("me", SPOT, lambda: Settings(engine="none")))
        assert 'There is no engine "none"' in view["error"]
        for seed in (-5, 2**63, float("inf"), 0.5, "x"):
            view = await last(studio.erase("me", SPOT, lambda seed=seed: settings("auto", seed, "auto", "")))
            assert "The seed is" in view["error"]
            assert view["busy"] is None
        for act in (studio.go_to, studio.download):
            assert "no longer here" in (await act("me", {"number": [1]}))["error"]
        assert (await studio.take("me", {"number": 99}))["current"] == 1

    asyncio.run(act())
    start = time.monotonic()
    while studio.line.counts != (0, 0):
        assert time.monotonic() - start < 30, "a job is left"
        time.sleep(0.01)


def test_a_picture_opened_in_mid_run_ends_the_run(studio: Studio) -> None:
    async def act() -> None:
        await studio.example("me", {"number": 0})
        desk = studio.tab("me").desk
        views = studio.erase("me", LARGE, Settings)
        assert (await anext(views))["busy"]

        async def listen() -> Any:
            return await last(views)

        listening = asyncio.create_task(listen())
        await studio.example("me", {"number": 1})
        assert "Stopped" in (await listening)["text"]
        assert len(desk.steps) == 1
        assert desk.name == "astronaut.webp"

    asyncio.run(act())


def test_two_photos_opened_at_once_leave_one_of_them_whole_and_views_are_in_order(studio: Studio) -> None:
    async def act() -> None:
        photos = [scene(300 + 10 * i, 200, i) for i in range(6)]
        told = [send(studio, pixels, f"{i}.png") for i, pixels in enumerate(photos)]
        views = await asyncio.gather(*(studio.open("me", each) for each in told))
        desk = studio.tab("me").desk
        assert len(desk.steps) == 1
        kept = int(desk.name.removesuffix(".png"))
        assert (desk.photo(desk.steps[desk.current]).pixels == photos[kept]).all()
        newest = max(views, key=lambda view: view["serial"])
        assert newest["photo"]["name"] == desk.name
        assert len({view["serial"] for view in views}) == 6
        number = str(desk.current)
        assert {path.name for path in desk.folder.iterdir() if path.is_dir()} == {number, f"{number}.file"}

    asyncio.run(act())


def test_a_defect_is_said_in_a_sentence_and_nothing_goes_on(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError(f"a defect in {studio.folders.root}")

    async def act() -> None:
        await studio.example("me", {"number": 0})
        for place in (
            "web_demo.work.Line.job", "web_demo.work.Line.follow", "web_demo.desk.Desk.result",
            "web_demo.tasks.Erasing.check", "web_demo.screen.read_mask",
        ):  # fmt: skip
            with monkeypatch.context() as patched:
                patched.setattr(place, broken)
                view = await last(studio.erase("me", SPOT | {"ticket": place}, Settings))
            assert "Something went wrong on the server" in view["error"], place
            assert view["busy"] is None
            assert view["answers"] == place
            assert "a defect in" in capsys.readouterr().err
        assert "Erased" in (await last(studio.erase("me", SPOT, Settings)))["text"]

    asyncio.run(act())


def test_stop_is_heard_before_the_work_has_come(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act() -> None:
        view = await studio.example("me", {"number": 0})
        await studio.stop(view["key"], "t")
        monkeypatch.setattr(studio.line, "job", None)  # no engine is asked
        view = await last(studio.erase("me", SPOT | {"ticket": "t"}, Settings))
        assert view["text"] == "Stopped. Nothing was changed."
        assert view["answers"] == "t"
        assert len(view["steps"]) == 1

    asyncio.run(act())


def test_who_missed_the_answer_finds_it_later(studio: Studio) -> None:
    async def act() -> None:
        opened = await studio.example("me", {"number": 0, "ticket": "a"})
        assert (await studio.look(opened["key"], "a"))["text"] == opened["text"]
        views = studio.erase("me", SPOT | {"ticket": "b"}, Settings)
        await anext(views)
        await views.aclose()  # the connection drops
        run = studio.tab("me").run
        assert run is not None
        seen = await studio.look(opened["key"], "b")
        assert seen["busy"]["ticket"] == "b"
        while not run.done:
            await asyncio.sleep(0.02)
        # loaded anew, with another session of Gradio's
        seen = await studio.look(opened["key"], "b")
        assert seen["answers"] == "b"
        assert seen["painted"]
        assert "Erased in" in seen["text"]
        again = await studio.go_to("another", {"number": 1, "key": opened["key"]})
        assert again["key"] == opened["key"]
        assert len(again["steps"]) == 2
        assert await studio.look("nobody's", "b") is None

    asyncio.run(act())


def test_who_is_gone_for_long_has_no_work_left(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PATIENCE", 0.2)

    def endless(*_: Any, **__: Any) -> Generator[Progress, None, None]:
        while True:
            yield Progress(0.5, "at it")
            time.sleep(0.01)

    monkeypatch.setattr(Erasing, "steps", endless)

    async def act() -> None:
        opened = await studio.example("me", {"number": 0})
        views = studio.erase("me", SPOT | {"ticket": "b"}, Settings)
        await anext(views)
        await asyncio.sleep(0.5)
        assert studio.tab("me").run is not None, "somebody listens"
        await views.aclose()
        studio.left("me")
        while studio.line.counts != (0, 0):
            await asyncio.sleep(0.02)
        assert "The connection was lost" in (await studio.look(opened["key"], "b"))["error"]

    asyncio.run(asyncio.wait_for(act(), 60))


@pytest.mark.parametrize(
    ("mask", "words"),
    [(np.ones((3, 3), np.bool_), "whole photograph"), (np.zeros((3, 3), np.bool_), "nothing is paint")],
)
def test_all_or_nothing_painted_is_noticed_before_an_engine_is_asked(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, mask: np.ndarray, words: str
) -> None:
    async def act() -> None:
        await studio.open("me", send(studio, scene(3, 3)))
        monkeypatch.setattr(studio.line, "job", None)
        view = await last(studio.erase("me", {"mask": mask_png(mask * np.uint8(255))}, Settings))
        assert words in view["error"].lower()
        assert view["busy"] is None

    asyncio.run(act())
