"""What a person paints over vanishes, and all else comes back as it was: a real browser against a real server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from eraser import files
from tests.doors.web.pages import ACROSS, Visit, expected
from tests.doors.web.scenes import redness, scene
from tests.doors.web.servers import Server


def test_what_is_painted_vanishes_and_every_other_pixel_keeps_its_value(
    real: Server, visit: Visit, photo: Path, tmp_path: Path
) -> None:
    page = visit(real)
    page.open(photo)
    page.stroke(*ACROSS, size=60)
    mask = page.mask
    page.run()
    assert "Erased in" in page.status
    assert "on the processor" in page.status
    assert "seed 0" in page.status
    path = page.save(tmp_path)
    assert path.name == "beach-erased.png"
    old, new = np.asarray(Image.open(photo)), np.asarray(Image.open(path))
    assert redness(old).sum() > 3000
    assert redness(new).sum() == 0
    wanted, hole = expected(photo, mask)
    assert 5000 < hole.sum() < hole.size / 4
    assert (old[~hole] == new[~hole]).all()
    assert (new == wanted).all()


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", ".tif"), ("RGBA", ".png"), ("LA", ".png")])
def test_inks_and_transparent_pixels_come_back_as_they_were(
    real: Server, visit: Visit, tmp_path: Path, mode: str, suffix: str
) -> None:
    image = Image.fromarray(scene(240, 180)).convert(mode)
    if "A" in mode:
        alpha = np.full((180, 240), 255, np.uint8)
        alpha[:40], alpha[40:60] = 0, 77  # the colours under it stay
        image.putalpha(Image.fromarray(alpha))
    path = tmp_path / f"kind{suffix}"
    image.save(path)
    page = visit(real)
    page.open(path)
    page.stroke(*ACROSS, size=50)
    mask = page.mask
    page.run()
    result = page.save(tmp_path)
    wanted, hole = expected(path, mask)
    old, new = files.read(path).pixels, files.read(result).pixels
    assert new.shape == old.shape
    assert (old[~hole] == new[~hole]).all()
    assert (new == wanted).all()
    assert (new[hole] != old[hole]).any()


def test_going_on_going_back_and_comparing(real: Server, visit: Visit, photo: Path, tmp_path: Path) -> None:
    page = visit(real)
    page.open(photo)
    page.stroke((0.2, 0.2), (0.25, 0.2), size=30)
    masks = [page.mask]
    page.run()
    assert page.painted == 0
    page.stroke(*ACROSS, size=60)
    masks.append(page.mask)
    page.run()
    second = np.asarray(Image.open(page.save(tmp_path)))
    first = np.asarray(Image.open(page.save(tmp_path, "steps li:nth-child(2) .get")))
    # the second step went on from the first, which is still what it was
    wanted, _ = expected(photo, masks[0])
    assert (first == wanted).all()
    Image.fromarray(first).save(tmp_path / "first.png")
    wanted, _ = expected(tmp_path / "first.png", masks[1])
    assert (second == wanted).all()

    page.click("compare")
    page.tab.locator(".bench .slider").focus()
    before = page.tab.locator(".bench .before")
    assert "inset(0px 50%" in before.evaluate("image => getComputedStyle(image).clipPath")
    for _ in range(20):
        page.tab.keyboard.press("ArrowRight")
    assert "inset(0px 40%" in before.evaluate("image => getComputedStyle(image).clipPath")
    box = page.tab.locator(".bench .slider").bounding_box()
    page.tab.mouse.click(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
    share = float(page.tab.locator(".bench .slider").input_value())
    assert 15 < share < 25
    page.tab.keyboard.press("Escape")
    assert page.tab.locator(".bench.comparing").count() == 0

    page.click("steps li:first-child > button")
    page.tab.wait_for_selector(".bench .steps li:first-child [aria-current=step]")
    page.tab.wait_for_selector(".bench:not(.waiting)")
    original = page.save(tmp_path)
    assert original.name == "beach.png"
    assert (np.asarray(Image.open(original)) == np.asarray(Image.open(photo))).all()
    page.stroke((0.2, 0.2), (0.25, 0.2), size=30)
    page.run()
    assert page.steps == 4  # what was done before is still there


def test_strokes_are_undone_redone_unpainted_cleared_and_finer_when_zoomed(
    quick: Server, visit: Visit, photo: Path
) -> None:
    page = visit(quick)
    page.open(photo)
    page.stroke((0.3, 0.3), (0.6, 0.3))
    one = page.painted
    page.stroke((0.3, 0.7), (0.6, 0.7))
    two = page.painted
    assert two > one > 0
    page.click("undo")
    assert page.painted == one
    page.tab.keyboard.press("Control+Shift+Z")
    assert page.painted == two
    page.tab.keyboard.press("Control+z")
    page.tab.keyboard.press("Control+z")
    assert page.painted == 0
    page.click("redo")
    page.click("rubber")
    page.stroke((0.3, 0.3), (0.6, 0.3), size=80)
    assert page.painted == 0
    page.click("undo")
    assert page.painted == one
    page.click("clear")
    assert page.painted == 0
    page.tab.keyboard.press("Control+z")
    assert page.painted == one
    page.click("redo")
    assert page.painted == 0
    page.click("brush")
    page.stroke((0.5, 0.5), (0.5, 0.5), size=40)
    dot = page.painted
    page.click("clear")
    shown = page.tab.locator("canvas.mask").bounding_box()["width"]
    page.tab.locator(".bench .zooms button").nth(1).click()
    page.tab.locator(".bench .zooms button").nth(1).click()
    assert page.tab.locator(".bench span.zoomed").inner_text() == "225 %"
    assert page.tab.locator("canvas.mask").bounding_box()["width"] == pytest.approx(2.25 * shown, rel=0.01)
    box = page.tab.locator(".bench .view").bounding_box()
    page.tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.painted == pytest.approx(dot / 2.25**2, rel=0.1)


def test_zoomed_in_one_sees_the_pixels_of_the_file(quick: Server, visit: Visit, tmp_path: Path) -> None:
    pixels = np.zeros((400, 3200, 3), np.uint8)
    pixels[:, ::2] = 255  # on the copy, half as wide, this is grey
    Image.fromarray(pixels).save(tmp_path / "stripes.png")
    page = visit(quick)
    page.open(tmp_path / "stripes.png")
    seen = """of => { const pencil = document.createElement('canvas').getContext('2d');
        pencil.drawImage(document.querySelector(of), 0, 0);
        return [...pencil.getImageData(0, 0, 100, 1).data].filter((_, i) => i % 4 === 0); }"""
    assert np.std(page.tab.evaluate(seen, ".bench .photo")) < 10
    for _ in range(5):
        page.tab.keyboard.press("+")
    page.tab.wait_for_selector(".bench .detail:not([hidden])")
    assert np.std(page.tab.evaluate(seen, ".bench .detail")) > 100
    page.tab.wait_for_timeout(300)
    box, view = (page.tab.locator(f".bench .{name}").bounding_box() for name in ("detail", "view"))
    x, _, width, _ = (
        int(number) for number in page.tab.locator(".detail").get_attribute("src").split("=")[1].split(",")
    )
    scale = page.tab.locator("canvas.mask").bounding_box()["width"] / 3200
    left = page.tab.locator("canvas.mask").bounding_box()["x"]
    assert box["x"] == pytest.approx(left + x * scale, abs=0.5)  # where these pixels are painted on
    assert box["width"] == pytest.approx(width * scale, abs=0.5)
    assert box["x"] <= view["x"] + 1
    assert box["x"] + box["width"] >= view["x"] + view["width"] - 2
    page.tab.keyboard.press("0")
    page.tab.wait_for_selector(".bench .detail", state="hidden")


def test_without_a_mouse(real: Server, visit: Visit, photo: Path, tmp_path: Path) -> None:
    page = visit(real)
    page.open(photo)
    page.tab.locator("canvas.mask").focus()
    press = page.tab.keyboard.press
    for _ in range(8):
        press("]")
    for _ in range(3):
        press("ArrowLeft")
    press(" ")
    for _ in range(6):
        press("ArrowRight")
    press(" ")
    assert page.painted > 1000
    press("Enter")
    page.until_steps(2)
    assert redness(np.asarray(Image.open(page.save(tmp_path)))).sum() < redness(scene(480, 360)).sum() / 3


@pytest.mark.parametrize(("width", "height"), [(2400, 1800), (6000, 4000)])
def test_a_camera_s_photo_is_painted_on_a_copy_and_comes_back_whole(
    real: Server, visit: Visit, tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "large.jpg"
    pixels = scene(width, height, radius=60)
    stored = Image.fromarray(np.rot90(pixels))  # as a camera held upright stores it
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored.save(path, quality=85, exif=exif, icc_profile=profile)
    page = visit(real)
    page.open(path)
    shown = page.tab.locator(".bench .photo").evaluate("i => [i.naturalWidth, i.naturalHeight]")
    assert shown == [1600, round(1600 * height / width)]
    page.stroke((0.5, 0.5), (0.5, 0.5), size=40)
    mask = page.mask
    page.run()
    result = page.save(tmp_path)
    assert result.name == "large-erased.jpg"
    with Image.open(result) as image:
        assert image.getexif()[0x010F] == "Camera"
        assert image.info["icc_profile"] == profile
    new = files.read(result).pixels
    assert new.shape == (height, width, 3)
    assert redness(pixels).sum() > 10_000
    assert redness(new).sum() == 0
    wanted, hole = expected(path, mask)
    assert (new == wanted).all()
    old = files.read(path).pixels[~hole]
    assert (new[~hole].astype(np.int16) - old).std() < 3  # as good as JPEG is, and upright


def test_a_16_bit_png_stays_one(real: Server, visit: Visit, tmp_path: Path) -> None:
    import pyvips

    pixels = scene(480, 360).astype(np.uint16) * 257 + np.random.default_rng(1).integers(
        0, 200, (360, 480, 3), np.uint16
    )
    path = tmp_path / "deep.png"
    pyvips.Image.new_from_array(pixels).copy(interpretation="rgb16").write_to_file(str(path))
    page = visit(real)
    page.open(path)
    assert "16 bit" in page.tab.locator(".bench .facts").inner_text()
    page.stroke(*ACROSS, size=60)
    mask = page.mask
    page.run()
    result = files.read(page.save(tmp_path)).pixels
    assert result.dtype == np.uint16
    assert redness(result).sum() == 0
    wanted, hole = expected(path, mask)
    assert (result[~hole] == pixels[~hole]).all()
    assert (result == wanted).all()
