"""What the page's server does, without a browser."""

from __future__ import annotations

import asyncio
import base64
import errno
import importlib
import importlib.util
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
from eraser.engines import registry
from eraser.engines.base import Progress
from eraser.errors import Cancelled, InputError, OutOfRange, SizeMismatch, UnknownEngine
from eraser.geometry import Box, Size
from eraser.provenance import DIGITAL_SOURCE_TYPE, TRAINED
from eraser.serve.jobs import Job
from eraser.xmp import values
from tests.doors.web.scenes import scene

pytest.importorskip("gradio", reason="gradio is not installed: pip install 'magic-eraser[web]'")

from web_demo import runs, screen
from web_demo.calls import Calls
from web_demo.desk import Desk, clean_name
from web_demo.folders import Folders
from web_demo.loading import NoStubs
from web_demo.studio import Limits, Studio
from web_demo.tasks import Erasing, Settings, extending, settings
from web_demo.words import sentence
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


def send(studio: Studio, pixels: np.ndarray, name: str = "photo.png") -> dict[str, Any]:
    """An upload, as the page tells of it."""
    folder = studio.folders.new_answer()
    Image.fromarray(pixels).save(folder / name)
    return {"path": str(folder / name), "name": name}


SPOT = {"mask": mask_png(np.full((4, 4), 255, np.uint8), 9, 9)}
LARGE = {"mask": mask_png(np.full((200, 200), 255, np.uint8), 100, 100)}


def test_only_what_was_uploaded_is_opened_and_never_another_desk_s(studio: Studio, tmp_path: Path) -> None:
    async def act() -> None:
        secret = tmp_path / "secret.png"
        Image.fromarray(scene(60, 40)).save(secret)
        theirs = studio.tab("they").desk.folder / "photo.png"
        theirs.write_bytes(secret.read_bytes())
        link = studio.folders.uploads / "link.png"
        link.symlink_to(secret)
        for path in (secret, theirs, link, studio.folders.uploads / "..", ""):
            view = await studio.open("me", {"path": str(path), "name": "photo.png"})
            assert view["photo"] is None
            assert "did not arrive" in view["error"]
        sent = studio.folders.uploads / "sent.png"
        sent.write_bytes(secret.read_bytes())
        view = await studio.open("me", {"path": str(sent), "name": "photo.png"})
        assert view["photo"]["width"] == 60
        assert not sent.exists()

    asyncio.run(act())


def test_pictures_that_nobody_uses_are_removed(studio: Studio) -> None:
    async def act() -> None:
        await studio.example("early", {"number": 0})
        await studio.example("late", {"number": 1})

    asyncio.run(act())
    early, late = studio.tabs["early"], studio.tabs["late"]
    upload = studio.folders.uploads / "forgotten.jpg"
    upload.write_bytes(b"x")
    studio.folders.sweep()
    studio.sweep()
    assert early.desk.folder.exists()
    assert upload.exists()
    late.last_used = time.time() + 1900
    studio.folders.sweep(time.time() + 1801)
    studio.sweep(time.time() + 1801)
    assert not early.desk.folder.exists()
    assert not upload.exists()
    assert late.desk.folder.exists()
    assert list(studio.tabs) == ["late"]


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


def test_a_short_job_does_not_wait_behind_a_long_one_while_an_engine_is_idle() -> None:
    line = Line(at_once=2, most_waiting=9, prepare=lambda: None)
    line.start()

    def lasting(seconds: float) -> Any:
        def work(job: Job) -> Generator[Progress, None, str]:
            start = time.monotonic()
            while time.monotonic() - start < seconds:
                yield Progress(0.5, "at it")
                time.sleep(0.01)
            return "done"

        return work

    async def act() -> None:
        long = line.follow(line.job(lasting(60)))
        await anext(long)
        for _ in range(3):  # whichever engine they were given to, one of them is busy for a minute
            jobs = [line.job(lasting(0.02)) for _ in range(3)]
            await asyncio.wait_for(asyncio.gather(*(last(line.follow(job)) for job in jobs)), 30)
        await long.aclose()

    asyncio.run(act())
    line.close()


def test_a_long_history_gives_up_its_middle_and_keeps_the_original(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web_demo.desk.MOST_STEPS", 4)

    async def act() -> None:
        await studio.example("me", {"number": 0})
        desk = studio.tab("me").desk
        for _ in range(6):
            mask = mask_png(np.full((4, 4), 255, np.uint8), 300, 50)
            view = await last(studio.erase("me", {"mask": mask}, Settings))
            assert view["error"] == ""
        assert sorted(desk.steps) == [1, 5, 6, 7]
        assert sorted(path.name for path in desk.folder.iterdir()) == ["1", "5", "6", "7"]
        view = await studio.download("me", {"number": 3})
        assert "no longer here" in view["error"]

    asyncio.run(act())


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
        assert len([path for path in desk.folder.iterdir() if path.is_dir()]) == 1

    asyncio.run(act())


def test_a_photo_that_cannot_be_kept_leaves_what_was_there(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def act() -> None:
        await studio.example("me", {"number": 0})
        desk = studio.tab("me").desk
        await last(studio.erase("me", SPOT, Settings))
        for broken in ("numpy.save", "web_demo.screen.screen_copy", "web_demo.desk._write"):
            with monkeypatch.context() as patched:
                patched.setattr(broken, full)
                view = await studio.example("me", {"number": 1})
                assert "could not keep the picture (No space left on device)" in view["error"]
                view = await last(studio.erase("me", SPOT, Settings))
                assert "could not keep the picture (No space left on device)" in view["error"]
            assert sorted(desk.steps) == [1, 2]
            assert desk.name == "rocket.jpg"
            assert sorted(path.name for path in desk.folder.iterdir()) == ["1", "2"]
            assert (await studio.go_to("me", {"number": 1}))["photo"]

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


def test_pictures_have_a_limit_for_each_and_for_all(tmp_path: Path) -> None:
    picture = 300 * 200 * 3
    folders = Folders(parent=tmp_path, most_bytes=14 * picture)
    studio = Studio(Limits(gigabytes=4 * 3.5 * picture / 1e9), folders=folders)
    studio.line.start()

    async def act() -> None:
        await studio.open("me", send(studio, scene(300, 200)))
        desk = studio.tab("me").desk
        for _ in range(5):
            assert (await last(studio.erase("me", SPOT, Settings)))["error"] == ""
        assert sorted(desk.steps) == [1, 5, 6]  # a quarter of 14 is three pictures and a half
        for i in range(12):
            view = await studio.open(f"other {i}", send(studio, scene(300, 200, i)))
            if view["error"]:
                break
        assert "keeps as many pictures as it may" in view["error"]
        assert 2 < i < 11
        assert folders.used <= folders.most_bytes
        steps = sorted(desk.steps)
        assert "keeps as many" in (await studio.open("me", send(studio, scene(300, 200))))["error"]
        assert sorted(desk.steps) == steps

    asyncio.run(act())
    studio.close()


def test_a_photo_that_is_called_like_the_screen_copy_comes_back_whole(studio: Studio) -> None:
    async def act() -> None:
        pixels = scene(2000, 90)
        await studio.open("me", send(studio, pixels, "screen.png"))
        view = await studio.download("me", {"number": 1})
        assert view["download"]["name"] == "screen.png"
        path = studio.folders.picture(*view["download"]["url"].split("/")[2:])
        assert path is not None
        assert (files.read(path).pixels == pixels).all()

    asyncio.run(act())


def test_no_path_of_the_server_is_said(studio: Studio) -> None:
    root = studio.folders.root
    error = InputError(f"{root}/uploads/ab12/my photo.png is damaged", hint=f'look into "{root}/desks/x/1/pixels.npy"')
    assert sentence(error, root) == 'my photo.png is damaged. Look into "pixels.npy".'


def test_only_folders_of_one_s_own_are_removed(tmp_path: Path) -> None:
    old = time.time() - 600
    open_to_all, precious = tmp_path / "magic-eraser-web-open", tmp_path / "precious"
    for folder in (open_to_all, precious):
        folder.mkdir()
        (folder / "photo.png").write_bytes(b"x")
    open_to_all.chmod(0o777)
    link = tmp_path / "magic-eraser-web-link"
    link.symlink_to(precious)
    (tmp_path / "magic-eraser-web-file").write_bytes(b"x")
    ours = tmp_path / "magic-eraser-web-ours"
    ours.mkdir(mode=0o700)
    for path in (open_to_all, precious, ours):
        os.utime(path, (old, old))
    os.utime(link, (old, old), follow_symlinks=False)
    Folders(parent=tmp_path).close()
    assert not ours.exists()
    assert (open_to_all / "photo.png").exists()
    assert sorted(path.name for path in open_to_all.iterdir()) == ["photo.png"]
    assert sorted(path.name for path in precious.iterdir()) == ["photo.png"]


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


@pytest.mark.parametrize(
    ("painted", "part"),
    [
        (Box(400, 300, 100, 20), Box(350, 210, 200, 200)),  # twice its longer side, round its middle
        (Box(0, 590, 10, 10), Box(0, 440, 160, 160)),  # in a corner, and not too small to see
        (Box(10, 10, 500, 30), Box(0, 0, 800, 600)),
    ],
)
def test_a_variation_is_shown_where_it_differs(painted: Box, part: Box) -> None:
    mask = np.zeros((600, 800), np.bool_)
    mask[painted.slices] = True
    assert Erasing(mask).part() == part


def test_a_part_of_a_step_is_what_the_file_has_there(studio: Studio) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 2000, 4), np.uint8)  # finer than any copy
    path = studio.folders.uploads / "fine.png"
    Image.fromarray(pixels).save(path)

    async def look() -> None:
        view = await studio.open("a", {"path": str(path), "name": "fine.png"})
        key, number = view["key"], str(view["current"])
        made = await studio.part(key, number, "700,10,900,40")
        assert made is not None
        image = Image.open(io.BytesIO(made[0]))
        assert (np.asarray(image) == pixels[10:50, 700:1600]).all()
        for box in ("", "0,0,0,9", "0,0,2001,1", "-1,0,5,5", "5,5,-2,-2", "0,0,1", "a,0,1,1", f"0,0,{'9' * 5000},1"):
            assert await studio.part(key, number, box) is None, box
        for other in [(key, "7"), (key, "x"), ("", number), ("nobody", number)]:
            assert await studio.part(*other, "0,0,5,5") is None

    asyncio.run(look())


def test_gradio_makes_no_stubs_of_its_components_while_it_is_loaded() -> None:
    gradio = pytest.importorskip("gradio")
    loaded = importlib.import_module("gradio.component_meta")
    assert hasattr(loaded, "create_or_modify_pyi")  # else there is nothing to save any more
    spec = NoStubs().find_spec(loaded.__name__, gradio.__path__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.create_or_modify_pyi(object, "no component", []) is None
    assert module.ComponentMeta is not loaded.ComponentMeta
    assert NoStubs().find_spec("gradio.events", gradio.__path__) is None


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


def test_the_page_offers_the_server_s_own_engine_without_its_path(tmp_path: Path) -> None:
    from web_demo.app import engine_choices

    made = Studio(engine="latent:/home/somebody/model", folders=Folders(keep_seconds=60, parent=tmp_path))
    try:
        assert made.engine_of("latent") == made.engine_of("") == made.engine
        offered = engine_choices(eraser.engines(), registry.open_to_others(made.engine))
        assert [name for _, name in offered] == ["auto", "patch", "lama", "migan", "latent"]
        assert "somebody" not in str(offered)
    finally:
        made.close()
