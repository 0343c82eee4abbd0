"""What the page's server does, without a browser."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import eraser
from eraser import files
from eraser.engines.base import Progress
from eraser.errors import OutOfRange, SizeMismatch
from eraser.geometry import Box, Size
from eraser.provenance import DIGITAL_SOURCE_TYPE, TRAINED
from eraser.serve.jobs import Job
from eraser.xmp import values
from tests.doors.web.scenes import scene

pytest.importorskip("gradio", reason="gradio is not installed: pip install 'magic-eraser[web]'")

from web_demo import screen
from web_demo.desk import Desk, Erasing, Settings, clean_name, extending
from web_demo.folders import Folders
from web_demo.studio import Limits, Studio
from web_demo.work import Line


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(Limits(keep_minutes=30), folders=Folders(keep_seconds=1800, parent=tmp_path))
    made.line.start()
    yield made
    made.close()
    assert not made.folders.root.exists()


def mask_png(alpha: np.ndarray, x: int = 0, y: int = 0) -> dict[str, Any]:
    memory = io.BytesIO()
    Image.merge("LA", [Image.new("L", alpha.shape[::-1], 255), Image.fromarray(alpha)]).save(memory, "PNG")
    return {"x": x, "y": y, "png": "data:image/png;base64," + base64.b64encode(memory.getvalue()).decode()}


@pytest.mark.parametrize("copy", [(1, 1), (3, 2), (7, 5), (16, 9)])
@pytest.mark.parametrize("original", [(16, 9), (31, 17), (64, 36), (100, 3)])
def test_each_pixel_takes_the_mask_where_its_centre_lies(copy: tuple[int, int], original: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random((copy[1], copy[0])) < 0.5
    scaled = screen.scale_mask(mask, Size(*original))
    for y in range(original[1]):
        for x in range(original[0]):
            inside = mask[int((y + 0.5) * copy[1] / original[1]), int((x + 0.5) * copy[0] / original[0])]
            assert scaled[y, x] == inside


def test_what_the_browser_painted_arrives_where_it_was_painted() -> None:
    alpha = np.array([[0, 127, 128], [255, 3, 200]], np.uint8)
    mask = screen.read_mask(mask_png(alpha, 4, 5), Size(20, 10))
    assert np.argwhere(mask).tolist() == [[5, 6], [6, 4], [6, 6]]
    assert not screen.read_mask(None, Size(20, 10)).any()


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (mask_png(np.zeros((3, 3), np.uint8), 19, 0), SizeMismatch),
        (mask_png(np.zeros((3, 3), np.uint8), -1, 0), SizeMismatch),
        ({"x": 0, "y": 0, "png": "data:image/png;base64,AAAA"}, OutOfRange),
        ({"x": 0, "y": 0, "png": "data:text/html;base64,AAAA"}, OutOfRange),
        ({"x": 0, "y": 0, "png": mask_png(np.zeros((3, 3), np.uint8))["png"][:-30]}, OutOfRange),
        ({"x": "left", "y": 0, "png": ""}, OutOfRange),
        ({"y": 0}, OutOfRange),
    ],
)
def test_marks_that_are_none_are_refused(told: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        screen.read_mask(told, Size(20, 10))


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", ".png"), ("RGBA", ".png"), ("L", ".tif"), ("CMYK", ".tif"), ("P", ".gif"), ("1", ".png"), ("LA", ".png")],
)
def test_every_kind_of_picture_has_a_copy_for_the_screen_and_comes_back(mode: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(scene(2000, 90)).convert(mode).save(path)
    desk = Desk(tmp_path / "desk")
    desk.folder.mkdir()
    desk.open(path, path.name, most_megapixels=1)
    step = desk.step
    assert step is not None
    with Image.open(step.copy) as copy:
        assert copy.size == (1600, 72)
        assert copy.mode in ("L", "RGB", "RGBA")
    back, losses = desk.download(step.number)
    assert losses == []
    assert back.name == path.name
    assert (files.read(back).pixels == files.read(path).pixels).all()
    assert files.probe(back) == files.probe(path)


def test_what_is_downloaded_says_what_was_done_to_it(tmp_path: Path) -> None:
    Image.fromarray(scene(60, 40)).save(tmp_path / "photo.png")
    desk = Desk(tmp_path / "desk")
    desk.folder.mkdir()
    desk.open(tmp_path / "photo.png", "photo.png", most_megapixels=1)
    original = desk.step
    assert original is not None
    task = extending(Size(60, 40), aspect="2:1")
    drawn = desk.photo(original).with_source_type(TRAINED)
    first = desk.result(drawn, original, task, 1, 0.1)
    desk.add(first)
    second = desk.result(eraser.erase(desk.photo(first), Box(9, 9, 5, 5)), first, task, 1, 0.1)
    desk.add(second)
    for step, said in ((original, []), (first, [TRAINED]), (second, [TRAINED])):
        path, _ = desk.download(step.number)
        assert values(files.read(path).metadata.xmp, DIGITAL_SOURCE_TYPE) == said


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/pass wd", "pass wd"),
        ("C:\\photos\\a.png", "a.png"),
        ('a<b>"c|.png', "a_b_c_.png"),
        ("..", "photo.png"),
    ],
)
def test_names_from_browsers_are_names_of_files(name: str, clean: str) -> None:
    assert clean_name(name) == clean


async def last(views: AsyncGenerator[Any, None]) -> Any:
    return [view async for view in views][-1]


def test_only_what_was_uploaded_is_opened_and_never_another_desk_s(studio: Studio, tmp_path: Path) -> None:
    async def act() -> None:
        secret = tmp_path / "secret.png"
        Image.fromarray(scene(60, 40)).save(secret)
        theirs = studio.desk("they").folder / "photo.png"
        theirs.write_bytes(secret.read_bytes())
        link = studio.folders.uploads / "link.png"
        link.symlink_to(secret)
        for path in (secret, theirs, link, studio.folders.uploads / "..", ""):
            view = await studio.open("me", str(path), "photo.png")
            assert view["photo"] is None
            assert "did not arrive" in view["error"]
        sent = studio.folders.uploads / "sent.png"
        sent.write_bytes(secret.read_bytes())
        view = await studio.open("me", str(sent), "photo.png")
        assert view["photo"]["width"] == 60
        assert not sent.exists()

    asyncio.run(act())


def test_pictures_that_nobody_uses_are_removed(studio: Studio) -> None:
    async def act() -> None:
        await studio.example("early", 0)
        await studio.example("late", 1)

    asyncio.run(act())
    early, late = studio.desks["early"], studio.desks["late"]
    upload = studio.folders.uploads / "forgotten.jpg"
    upload.write_bytes(b"x")
    studio.folders.sweep()
    studio.sweep()
    assert early.folder.exists()
    assert upload.exists()
    late.last_used = time.time() + 1900
    studio.folders.sweep(time.time() + 1801)
    studio.sweep(time.time() + 1801)
    assert not early.folder.exists()
    assert not upload.exists()
    assert late.folder.exists()
    assert list(studio.desks) == ["late"]


def test_what_the_api_answered_is_removed_too(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(scene(60, 40)).save(path)
    told: list[float] = []

    async def act() -> str:
        return await studio.answer(
            str(path),
            lambda session, photo: session.outpaint_steps(photo, left=5),
            engine="auto",
            ending="extended",
            tell=lambda fraction, note: told.append(fraction),
        )

    result = Path(asyncio.run(act()))
    assert result.name == "photo-extended.png"
    assert files.probe(result).size == Size(65, 40)
    assert told
    studio.sweep(time.time() + 1801)
    assert not result.exists()
    assert list(result.parent.parent.iterdir()) == []


@pytest.mark.parametrize("at_once", [1, 2])
def test_as_many_jobs_run_at_once_as_the_option_says(at_once: int) -> None:
    line = Line(at_once=at_once, most_waiting=2, prepare=lambda: None)
    line.start()

    def work(job: Job) -> Generator[Progress, None, str]:
        while True:
            yield Progress(0.5, "at it")
            time.sleep(0.01)

    async def act() -> list[int]:
        views = [line.follow(line.job(work)) for _ in range(2)]
        first = [await anext(view) for view in views]
        for view in views:
            await view.aclose()
        return [news.ahead for news in first]

    ahead = asyncio.run(act())
    assert ahead == ([0, 1] if at_once == 1 else [0, 0])
    line.close()
    assert line.counts == (0, 0)


def test_a_long_history_gives_up_its_middle_and_keeps_the_original(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web_demo.desk.MOST_STEPS", 4)

    async def act() -> None:
        await studio.example("me", 0)
        desk = studio.desk("me")
        for _ in range(6):
            mask = mask_png(np.full((4, 4), 255, np.uint8), 300, 50)
            view = await last(studio.erase("me", {"mask": mask}, Settings))
            assert view["error"] == ""
        assert sorted(desk.steps) == [1, 5, 6, 7]
        assert sorted(path.name for path in desk.folder.iterdir()) == ["1", "5", "6", "7"]
        view = await studio.download("me", 3)
        assert "no longer here" in view["error"]

    asyncio.run(act())


def test_nothing_on_the_desk_and_nonsense_are_answered_with_sentences(studio: Studio) -> None:
    async def act() -> None:
        assert "no photo yet" in (await last(studio.erase("me", {}, Settings)))["error"]
        assert "no photo yet" in (await last(studio.extend("me", {}, Settings)))["error"]
        await studio.example("me", "nonsense")
        assert "-5" in (await last(studio.extend("me", {"sides": {"left": -5}}, Settings)))["error"]
        assert "aspect" in (await last(studio.extend("me", {"aspect": "x"}, Settings)))["error"]
        mask = {"mask": mask_png(np.full((4, 4), 255, np.uint8), 9, 9)}
        view = await last(studio.erase("me", mask, lambda: Settings(engine="none")))
        assert 'There is no engine "none"' in view["error"]

    asyncio.run(act())
    start = time.monotonic()
    while studio.line.counts != (0, 0):
        assert time.monotonic() - start < 30, "a job is left"
        time.sleep(0.01)


def test_a_picture_opened_in_mid_run_ends_the_run(studio: Studio) -> None:
    async def act() -> None:
        await studio.example("me", 0)
        desk = studio.desk("me")
        mask = {"mask": mask_png(np.full((200, 200), 255, np.uint8), 100, 100)}
        views = studio.erase("me", mask, Settings)
        assert (await anext(views))["busy"]

        async def listen() -> Any:
            return await last(views)

        listening = asyncio.create_task(listen())
        await studio.example("me", 1)
        assert "Stopped" in (await listening)["text"]
        assert len(desk.steps) == 1
        assert desk.name == "astronaut.webp"

    asyncio.run(act())


def test_all_painted_is_noticed_before_anything_runs() -> None:
    with pytest.raises(Exception, match="whole photograph"):
        Erasing(np.ones((3, 3), np.bool_)).check()


def test_without_gradio_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['gradio'] = None\nfrom eraser import cli; sys.exit(cli.run(['web']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "pip install 'magic-eraser[web]'" in done.stderr


def test_a_port_that_is_taken_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "eraser", "web", "--no-open", "--port", str(port)],
            capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"TMPDIR": str(tmp_path)},
        )  # fmt: skip
    assert done.returncode == 2
    assert f"the port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert list(tmp_path.glob("magic-eraser-web-*")) == []
