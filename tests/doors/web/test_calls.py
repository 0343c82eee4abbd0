"""The calls of programs, without a server."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eraser import files
from eraser.errors import Cancelled, InputError, OutOfRange, UnknownEngine
from eraser.geometry import Size
from tests.doors.web.scenes import scene
from tests.doors.web.studios import send

pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[web]' in the clone")

from web_demo.calls import Calls
from web_demo.studio import Studio


def test_what_the_api_answered_is_removed_too(studio: Studio) -> None:
    told: list[float] = []
    sent = Path(send(studio, scene(60, 40))["path"])

    async def act() -> str:
        return await Calls(studio).extend(
            "me", lambda fraction, note: told.append(fraction), image=str(sent), sides={"left": "5"}, aspect="",
            engine="auto", seed=0, prompt="",
        )  # fmt: skip

    result = Path(asyncio.run(act()))
    assert result.name == "photo-extended.png"
    assert files.probe(result).size == Size(65, 40)
    assert told
    studio.folders.sweep(time.time() + 1700)
    assert result.exists()
    studio.folders.sweep(time.time() + 1801)
    assert not result.exists()
    assert not sent.exists()
    assert list(studio.folders.uploads.iterdir()) == []  # nor are empty folders left


def test_a_call_s_photo_is_not_swept_while_it_waits_and_who_leaves_ends_it(studio: Studio) -> None:
    sent = Path(send(studio, scene(600, 400))["path"])
    mask = Path(send(studio, np.full((400, 600), 255, np.uint8) * (np.arange(600) > 100), "mask.png")["path"])
    old = time.time() - 1790
    for path in (sent, mask):
        os.utime(path, (old, old))
    calls = Calls(studio)

    async def act() -> None:
        heard = asyncio.Event()
        asked = asyncio.create_task(
            calls.erase(
                "me", lambda *_: heard.set(), image=str(sent), mask=str(mask), engine="", seed=0, grow="auto", prompt=""
            )
        )
        await heard.wait()
        studio.folders.sweep(time.time() + 20)
        assert sent.exists()
        assert mask.exists()
        calls.left("somebody else")
        assert studio.line.counts != (0, 0)
        calls.left("me")
        with pytest.raises(Cancelled):
            await asked

    asyncio.run(act())


def test_limits_hold_for_what_programs_send_and_get(studio: Studio) -> None:
    calls = Calls(studio)
    photo = str(send(studio, scene(60, 40))["path"])
    wide = str(send(studio, np.zeros((1000, 2000), np.uint8), "wide.png")["path"])
    object.__setattr__(studio.limits, "megapixels", 1.0)

    async def erase(**changed: Any) -> str:
        asked: dict[str, Any] = {"image": photo, "mask": photo, "engine": "", "seed": 0, "grow": "auto", "prompt": ""}
        return await calls.erase("me", lambda *_: None, **asked | changed)

    async def extend(sides: dict[str, str], aspect: str = "") -> str:
        return await calls.extend(
            "me", lambda *_: None, image=photo, sides=sides, aspect=aspect, engine="", seed=0, prompt=""
        )

    async def act() -> None:
        for changed, words in [
            ({"image": wide}, "wide.png has 2 megapixels, the limit is 1"),
            ({"mask": wide}, "wide.png has 2 megapixels, the limit is 1"),
            ({"seed": -1}, "the seed is -1"),
            ({"image": "/etc/passwd"}, "the photo is no file that was sent"),
            ({"mask": ""}, "there is no mask"),
        ]:
            with pytest.raises(InputError, match=words):
                await erase(**changed)
        for sides, words in [
            ({"right": "4000", "bottom": "400"}, "the result would have 2 megapixels, and this page makes up to 1"),
            ({"right": "much"}, '"much", not an amount'),
            ({}, "nothing is to be added"),
        ]:
            with pytest.raises(OutOfRange, match=words):
                await extend(sides)

    asyncio.run(act())


@pytest.mark.parametrize("name", ["onnx:/etc/passwd", "latent:sd15?safety=off", "latent"])
def test_files_and_switches_of_the_server_are_not_the_page_s_to_name(studio: Studio, tmp_path: Path, name: str) -> None:
    photo = studio.folders.new_answer() / "photo.png"
    Image.fromarray(scene(40, 30)).save(photo)
    with pytest.raises(UnknownEngine, match="on offer here"):
        studio.engine_of(name)
    studio.folders.is_upload = lambda path: True  # type: ignore[method-assign]

    async def call() -> str:
        given = {"image": str(photo), "mask": str(photo), "engine": name, "seed": 0, "grow": "auto", "prompt": ""}
        return await Calls(studio).erase("somebody", lambda *_: None, **given)

    with pytest.raises(UnknownEngine, match="on offer here"):
        asyncio.run(call())
