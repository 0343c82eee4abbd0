"""A person's desk: the copy for the screen, the marks on it, the steps and what is downloaded."""

from __future__ import annotations

import asyncio
import errno
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import eraser
from eraser import files
from eraser.errors import NothingKnown, OutOfRange, SizeMismatch
from eraser.geometry import Box, Size
from eraser.provenance import DIGITAL_SOURCE_TYPE, TRAINED
from eraser.xmp import values
from tests.doors.web.scenes import scene
from tests.doors.web.studios import SPOT, last, mask_png, send

pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[web]' in the clone")

from web_demo import screen
from web_demo.desk import Desk, clean_name
from web_demo.studio import Studio
from web_demo.tasks import Erasing, Settings, extending


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
        assert sorted(path.name for path in desk.folder.iterdir()) == ["1", "1.file", "5", "6", "7"]
        view = await studio.download("me", {"number": 3})
        assert "no longer here" in view["error"]

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
            assert sorted(path.name for path in desk.folder.iterdir()) == ["1", "1.file", "2"]
            assert (await studio.go_to("me", {"number": 1}))["photo"]

    asyncio.run(act())


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


def test_the_original_is_handed_out_as_it_came(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned photo.jpeg"
    Image.fromarray(scene(120, 90)).save(path, quality=71, exif=exif)
    data = path.read_bytes()
    desk = Desk(tmp_path / "desk")
    desk.folder.mkdir()
    desk.open(path, path.name, most_megapixels=1)
    path.unlink()
    file, losses = desk.download(desk.current)
    assert (file.name, file.read_bytes(), losses) == ("turned photo.jpeg", data, [])
    desk.clear()
    assert list(desk.folder.iterdir()) == []


def test_a_dot_that_is_left_unpainted_is_as_good_as_none(tmp_path: Path) -> None:
    mask = np.ones((90, 120), np.bool_)
    mask[40, 60] = False
    Image.fromarray(scene(120, 90)).save(tmp_path / "photo.png")
    photo = files.read(tmp_path / "photo.png")
    with eraser.Eraser() as session, pytest.raises(NothingKnown, match="whole photograph is painted over") as told:
        list(Erasing(mask).steps(session, photo, Settings()))
    assert told.value.hint == "unpaint a part of it"
