"""What a person sees and does on the page, in a real browser against a real server."""

from __future__ import annotations

import base64
import io
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from eraser import files
from tests.doors.web.conftest import Page, Server
from tests.doors.web.scenes import redness, scene

ACROSS = [(0.40, 0.42), (0.60, 0.42), (0.60, 0.5), (0.40, 0.5), (0.40, 0.58), (0.60, 0.58)]  # over the disc
Visit = Callable[..., Page]


def test_what_is_painted_vanishes_and_every_other_pixel_keeps_its_value(
    real: Server, visit: Visit, photo: Path, tmp_path: Path
) -> None:
    page = visit(real)
    page.open(photo)
    page.stroke(*ACROSS, size=60)
    assert page.painted > 5000
    page.run()
    assert "Erased in" in page.status
    assert "seed 0" in page.status
    path = page.save(tmp_path)
    assert path.name == "beach-erased.png"
    old, new = np.asarray(Image.open(photo)), np.asarray(Image.open(path))
    assert redness(old).sum() > 3000
    assert redness(new).sum() == 0
    changed = np.argwhere((old != new).any(axis=2))
    # strokes from 40 % to 60 % of 480 and 42 % to 58 % of 360, a brush of at most 30 pixels' radius, and the growth
    assert changed.min(axis=0)[0] > 151 - 45
    assert changed.max(axis=0)[0] < 209 + 45
    assert changed.min(axis=0)[1] > 192 - 45
    assert changed.max(axis=0)[1] < 288 + 45


def test_going_on_going_back_and_comparing(real: Server, visit: Visit, photo: Path, tmp_path: Path) -> None:
    page = visit(real)
    page.open(photo)
    page.stroke((0.2, 0.2), (0.25, 0.2), size=30)
    page.run()
    assert page.painted == 0
    page.stroke(*ACROSS, size=60)
    page.run()
    second = np.asarray(Image.open(page.save(tmp_path)))
    first = np.asarray(Image.open(page.save(tmp_path, "steps li:nth-child(2) .get")))
    assert redness(first).sum() > 3000
    # the second step went on from the first
    assert (second[60:85, 90:125] == first[60:85, 90:125]).all()
    assert (first[60:85, 90:125] != np.asarray(Image.open(photo))[60:85, 90:125]).any()

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
    page.click("compare")

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
    page.click("brush")
    page.stroke((0.5, 0.5), (0.5, 0.5), size=40)
    dot = page.painted
    page.click("clear")
    page.tab.locator(".bench .zooms button").nth(1).click()
    page.tab.locator(".bench .zooms button").nth(1).click()
    assert (
        page.tab.locator(".bench .zoomed").first.inner_text() == "225 %"
        or "225" in page.tab.locator(".bench span.zoomed").inner_text()
    )
    box = page.tab.locator(".bench .view").bounding_box()
    page.tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.painted == pytest.approx(dot / 2.25**2, rel=0.1)


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


def test_stop_ends_the_work_within_a_step_and_changes_nothing(slow: Server, visit: Visit, photo: Path) -> None:
    page = visit(slow)
    page.open(photo)
    page.stroke(*ACROSS)
    painted = page.painted
    page.click("go")
    page.tab.wait_for_selector(".bench .preview:not([hidden])")  # the fill is seen while it forms
    page.tab.wait_for_function("document.querySelector('.bench progress').value > 0")
    page.click("stop")
    page.says("Stopped")
    slow.until(lambda lines: lines[-1] == "closed")
    assert "done" not in slow.lines
    assert page.steps == 1
    assert page.painted == painted  # to try again
    assert page.tab.locator(".bench .go").is_enabled()


def test_closing_the_tab_ends_its_work(slow: Server, visit: Visit, photo: Path) -> None:
    page = visit(slow)
    page.open(photo)
    page.stroke(*ACROSS)
    page.click("go")
    page.tab.wait_for_selector(".bench .preview:not([hidden])")
    page.tab.close()
    slow.until(lambda lines: lines[-1] == "closed")
    assert "done" not in slow.lines


def test_two_people_wait_for_each_other_and_see_their_own_pictures(slow: Server, visit: Visit, tmp_path: Path) -> None:
    pages = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}.png"
        Image.fromarray(scene(320, 240, seed=len(name))).save(path)
        page = visit(slow)
        page.open(path)
        page.stroke(*ACROSS)
        page.click("go")
        page.tab.wait_for_selector(".bench.working")
        pages.append(page)
    first, second = pages
    first.tab.wait_for_selector(".bench .preview:not([hidden])")
    second.tab.wait_for_function("document.querySelector('.busytext').textContent.includes('1 job comes first')")
    first.click("stop")
    first.says("Stopped")
    second.tab.wait_for_selector(".bench .preview:not([hidden])")
    second.click("stop")
    second.says("Stopped")
    addresses = [page.tab.locator(".bench .photo").get_attribute("src") for page in pages]
    desks = [str(address).partition("/desks/")[2].partition("/")[0] for address in addresses]
    assert len(set(desks)) == 2
    assert all(len(desk) >= 32 for desk in desks)
    folder = str(addresses[0]).partition("/desks/")[0] + "/desks"
    assert first.context.request.get(folder).status == 403  # what cannot be listed must be known
    assert first.tab.locator(".bench .facts").inner_text().startswith("first.png")
    assert second.tab.locator(".bench .facts").inner_text().startswith("second.png")


def test_the_frame_is_dragged_or_shaped_and_the_photo_stands_unchanged_inside(
    real: Server, visit: Visit, photo: Path, tmp_path: Path
) -> None:
    page = visit(real)
    page.open(photo)
    page.click("mode.extend")
    numbers = page.tab.locator(".bench .amounts input")
    assert [numbers.nth(i).input_value() for i in range(4)] == ["20", "0", "20", "0"]
    box = page.tab.locator(".bench .handle.bottom").bounding_box()
    page.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + 30, steps=3)
    page.tab.mouse.up()
    assert 3 < int(numbers.nth(3).input_value()) < 20
    page.tab.get_by_label("Shape 1:1").click()
    assert page.tab.locator(".bench .newsize").inner_text() == "480 × 480"
    page.run()
    assert "Extended in" in page.status
    new = np.asarray(Image.open(page.save(tmp_path)))
    assert new.shape == (480, 480, 3)
    assert (new[60:420] == scene(480, 360)).all()
    assert redness(new[:60]).sum() == 0
    page.click("mode.extend")
    page.tab.get_by_label("Shape 1:1").click()
    page.click("go")
    page.says("The frame is as large as the photograph")


def test_variations_are_looked_at_and_one_is_taken(quick: Server, visit: Visit, photo: Path, tmp_path: Path) -> None:
    page = visit(quick)
    page.open(photo)
    page.stroke(*ACROSS, size=60)
    page.run()
    page.click("more")  # nothing new is painted: the same again with other seeds
    page.says("Choose the one you like best")
    choices = page.tab.locator(".bench .choices button")
    assert choices.count() == 4
    assert [choices.nth(i).get_attribute("title").split(", ")[1] for i in range(4)] == [
        "seed 1",
        "seed 2",
        "seed 3",
        "seed 4",
    ]
    first = np.asarray(Image.open(page.save(tmp_path)))
    choices.nth(2).click()
    page.until_steps(3)
    taken = np.asarray(Image.open(page.save(tmp_path)))
    old = scene(480, 360)
    assert redness(taken).sum() == 0
    assert (taken != first).any()
    assert ((taken != first).any(axis=2) <= (first != old).any(axis=2) | redness(old)).mean() > 0.99


def test_a_12_megapixel_photo_is_painted_on_a_copy_and_comes_back_whole(
    real: Server, visit: Visit, tmp_path: Path
) -> None:
    path = tmp_path / "large.jpg"
    pixels = scene(4000, 3000, radius=60)
    stored = Image.fromarray(np.rot90(pixels))  # as a camera held upright stores it
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored.save(path, quality=90, exif=exif, icc_profile=profile)
    page = visit(real)
    page.open(path)
    assert page.tab.locator(".bench .photo").evaluate("i => [i.naturalWidth, i.naturalHeight]") == [1600, 1200]
    page.stroke((0.5, 0.5), (0.5, 0.5), size=40)
    page.run()
    result = page.save(tmp_path)
    assert result.name == "large-erased.jpg"
    with Image.open(result) as image:
        assert image.getexif()[0x010F] == "Camera"
        assert image.info["icc_profile"] == profile
    new = files.read(result).pixels
    assert new.shape == (3000, 4000, 3)
    assert redness(pixels).sum() > 10_000
    assert redness(new).sum() == 0
    assert np.abs(new[:200].astype(int) - pixels[:200]).mean() < 6  # the right way up, and as good as JPEG is


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
    page.run()
    result = files.read(page.save(tmp_path)).pixels
    assert result.dtype == np.uint16
    assert redness(result).sum() == 0
    assert (result[:100] == pixels[:100]).all()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_all_of_it(quick: Server, visit: Visit, photo: Path, theme: str) -> None:
    page = visit(
        quick, query=f"?__theme={theme}", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page.open(photo)
    box = page.tab.locator("canvas.mask").bounding_box()
    page.tab.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.painted > 100
    page.run()
    page.click("mode.extend")
    page.click("mode.erase")
    wide = (
        "[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > 391).map(e => e.className)"
    )
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390, page.tab.evaluate(wide)
    for what in ("go", "more", "compare", "save", "other", "size"):
        place = page.tab.locator(f".bench .{what}").first.bounding_box()
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 390
        assert place["height"] >= 16
    corner = np.asarray(Image.open(io.BytesIO(page.tab.screenshot())).convert("L"))[:8, :8].mean()
    assert (corner < 80) == (theme == "dark")


def test_a_photo_is_dropped_or_pasted(quick: Server, visit: Visit, photo: Path) -> None:
    page = visit(quick)
    send = """([kind, name, text]) => {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], name, { type: 'image/png' }));
        document.dispatchEvent(kind === 'drop' ? new DragEvent('drop', { dataTransfer: transfer })
            : new ClipboardEvent('paste', { clipboardData: transfer }));
    }"""
    text = base64.b64encode(photo.read_bytes()).decode()
    page.tab.evaluate(send, ["drop", "dropped.png", text])
    page.opened("dropped.png")
    page.tab.evaluate(send, ["paste", "pasted.png", text])
    page.opened("pasted.png")


def test_nothing_and_everything_painted_are_answered_kindly(quick: Server, visit: Visit, photo: Path) -> None:
    page = visit(quick)
    page.open(photo)
    page.click("go")
    page.says("Nothing is painted yet")
    page.tab.locator(".bench .size").evaluate("range => { range.max = 2000; range.value = 2000; }")
    page.stroke((0.5, 0.5), (0.6, 0.6))
    page.click("go")
    page.says("The whole photograph is painted over")
    page.click("clear")
    page.stroke(*ACROSS, size=30)
    page.run()


def test_files_that_cannot_be_taken_are_answered_kindly(
    real: Server, visit: Visit, photo: Path, tmp_path: Path
) -> None:
    page = visit(real)
    page.open(photo)

    def refuse(name: str, content: bytes, words: str) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        page.tab.locator(".bench input[type=file]").set_input_files(str(path))
        page.says(words)
        assert "/" not in page.status  # nothing of the server's folders
        page.tab.wait_for_selector(".bench:not(.waiting)")

    frames = [Image.fromarray(scene(60, 40, seed)) for seed in range(3)]
    memory = io.BytesIO()
    frames[0].save(memory, "GIF", save_all=True, append_images=frames[1:])
    refuse("dance.gif", memory.getvalue(), "dance.gif has 3 frames")
    refuse("notes.png", b"no picture at all", "notes.png")
    refuse("half.png", photo.read_bytes()[:20000], "half.png")
    refuse("empty.jpg", b"", "empty.jpg is empty")
    refuse("huge.jpg", b"\xff" * 20_000_001, "huge.jpg has 20 MB, and this page takes up to 20")
    memory = io.BytesIO()
    Image.new("L", (5000, 4000)).save(memory, "PNG")
    refuse("wide.png", memory.getvalue(), "wide.png has 20 megapixels, and this page takes up to 13")
    assert "beach.png" in page.tab.locator(".bench .facts").inner_text()  # what was there is still there


def test_a_server_that_is_stopped_in_mid_run_leaves_no_dead_page(
    start_server: Callable[..., Server], visit: Visit, photo: Path
) -> None:
    server = start_server("--engine", "toy", "--steps", "100", "--step-seconds", "0.2")
    page = visit(server)
    page.open(photo)
    page.stroke(*ACROSS)
    page.click("go")
    page.tab.wait_for_selector(".bench .preview:not([hidden])")
    assert server.pictures
    assert server.end(signal.SIGTERM) == 0
    assert server.pictures == []
    page.says("The server")  # is stopping, or does not answer
    assert page.tab.locator(".bench .go").is_enabled()


def test_the_advanced_fold_reaches_the_engine(quick: Server, visit: Visit, photo: Path) -> None:
    page = visit(quick)
    page.open(photo)
    fold = page.tab.locator("#advanced")
    fold.get_by_role("button", name="Advanced").click()
    fold.get_by_label("What is to be there instead").fill("a cat")
    fold.get_by_label("Seed").fill("7")
    fold.get_by_label("Widen by").fill("much")
    fold.get_by_label("Widen by").blur()
    page.stroke(*ACROSS, size=40)
    page.click("go")
    page.says('The hole is to be widened by "much"')
    fold.get_by_label("Widen by").fill("3")
    fold.get_by_label("Widen by").blur()
    page.run()
    assert "engine toy, seed 7" in page.status
    assert "step 0, a cat" in quick.lines
    fold.get_by_label("Engine").click()
    page.tab.get_by_role("option", name="patch").click()  # which takes no text
    fold.get_by_label("What is to be there instead").wait_for(state="hidden")
