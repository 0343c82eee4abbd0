"""Stop, other people, lost connections and stopped servers, in a real browser."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.doors.web.pages import ACROSS, Visit
from tests.doors.web.scenes import scene
from tests.doors.web.servers import Cable, Server


@pytest.fixture
def cable(slow: Server) -> Iterator[Cable]:
    made = Cable(slow)
    yield made
    made.close()


def test_stop_ends_the_work_within_a_step_and_changes_nothing(slow: Server, visit: Visit, photo: Path) -> None:
    page = visit(slow)
    page.open(photo)
    page.stroke(*ACROSS)
    painted = page.painted
    places = page.places("view", "foot", "status")
    page.click("go")
    page.tab.wait_for_selector(".bench .preview:not([hidden])")  # the fill is seen while it forms
    page.tab.wait_for_function("document.querySelector('.bench progress').value > 0")
    assert page.places("view", "foot", "status") == places  # nothing moves under the mouse
    page.tab.keyboard.press("Escape")
    page.says("Stopped")
    assert page.tab.evaluate("document.activeElement.classList.contains('go')")  # to press it again
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
    pages, bases = [], []
    for number, name in enumerate(("first", "second")):
        path = tmp_path / f"{name}.png"
        bases.append(scene(320, 240, seed=number))
        Image.fromarray(bases[-1]).save(path)
        page = visit(slow)
        page.open(path)
        page.stroke(*ACROSS)
        page.click("go")
        page.tab.wait_for_selector(".bench.working")
        pages.append(page)
    first, second = pages
    first.tab.wait_for_selector(".bench .preview:not([hidden])")
    second.tab.wait_for_function("document.querySelector('.busytext').textContent.includes('1 job comes first')")
    second.click("stop")  # while it waits
    second.says("Stopped")
    assert first.tab.locator(".bench.working").count() == 1
    second.click("go")
    second.tab.wait_for_function("document.querySelector('.busytext').textContent.includes('1 job comes first')")
    first.click("stop")
    first.says("Stopped")
    second.tab.wait_for_selector(".bench .preview:not([hidden])")
    second.click("stop")
    second.says("Stopped")
    for page, base, name in zip(pages, bases, ("first", "second"), strict=True):
        assert page.tab.locator(".bench .facts").inner_text().startswith(f"{name}.png")
        assert page.steps == 1
        assert (np.asarray(Image.open(page.save(tmp_path))) == base).all()
    addresses = [str(page.tab.locator(".bench .photo").get_attribute("src")) for page in pages]
    keys = [address.partition("/pictures/")[2].partition("/")[0] for address in addresses]
    assert keys[0] != keys[1]
    assert all(len(key) >= 32 for key in keys)
    asked = first.context.request
    assert asked.get(addresses[0]).status == 200
    # who does not know the name gets nothing, and nobody gets a list, the pixels, or what lies beside them
    for wrong in ("", f"{keys[0]}/", f"{keys[0]}/1/pixels.npy", f"{keys[0]}/1/..%2F..%2Fin-use.lock", "x/1/screen.jpg"):
        assert asked.get(f"{slow.url}pictures/{wrong}").status == 404, wrong
    desk = next(path for path in slow.pictures if path.name == "screen.jpg")
    for address in (desk, "http://127.0.0.1:9/", tmp_path / "first.png", "/etc/passwd"):
        assert asked.get(f"{slow.url}gradio_api/file={address}").status == 403


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
    page.says("The server is stopping")  # said before it ended: nobody was cut off, or waited for
    assert page.tab.locator(".bench .go").is_enabled()


def test_a_step_of_a_minute_does_not_hold_up_the_end(
    start_server: Callable[..., Server], visit: Visit, photo: Path
) -> None:
    server = start_server("--engine", "toy", "--step-seconds", "60")
    page = visit(server)
    page.open(photo)
    page.stroke(*ACROSS)
    page.click("go")
    server.until(lambda lines: bool(lines))
    start = time.monotonic()
    assert server.end(signal.SIGTERM) == 0
    assert time.monotonic() - start < 40
    assert server.pictures == []
    assert server.output.read_text().splitlines()[2:] == []  # no word of who was cut off


def test_stop_right_after_the_click_is_heard(slow: Server, visit: Visit, photo: Path) -> None:
    page = visit(slow)
    page.open(photo)
    page.stroke(*ACROSS)
    before = len(slow.lines)
    page.tab.evaluate("for (const what of ['go', 'stop']) document.querySelector(`.bench .${what}`).click()")
    page.says("Stopped. Nothing was changed.")
    assert page.tab.locator(".bench .go").is_enabled()
    assert page.painted
    assert not any(line.startswith("step 2") for line in slow.lines[before:])


def test_work_goes_on_while_the_connection_is_gone_for_a_moment(
    slow: Server, cable: Cable, visit: Visit, photo: Path
) -> None:
    page = visit(cable)
    page.open(photo)
    page.advance(prompt="8")  # steps, of a fifth of a second: all within the patience
    page.stroke(*ACROSS)
    page.click("go")
    page.tab.wait_for_selector(".bench .preview:not([hidden])")
    cable.cut()
    page.says("The connection is lost")
    slow.until(lambda lines: lines[-2:] == ["done", "closed"])
    cable.mend()
    page.until_steps(2)
    assert "Erased in" in page.status
    assert page.painted == 0
    page.click("steps li:first-child > button")  # and the page goes on working
    page.tab.wait_for_selector(".bench .steps li:first-child [aria-current=step]")


def test_a_connection_that_is_gone_for_long_ends_the_work_and_the_page_says_so(
    slow: Server, cable: Cable, visit: Visit, photo: Path
) -> None:
    page = visit(cable)
    page.open(photo)
    page.stroke(*ACROSS)
    page.click("go")
    page.tab.wait_for_selector(".bench .preview:not([hidden])")
    cable.cut()
    slow.until(lambda lines: lines[-1] == "closed")
    assert "done" not in slow.lines[-3:]
    cable.mend()
    page.says("The connection was lost for a while")
    page.tab.wait_for_selector(".bench:not(.waiting)")
    assert page.steps == 1
    assert page.painted
    page.click("go")
    page.tab.wait_for_selector(".bench .preview:not([hidden])")
    page.click("stop")
    page.says("Stopped")
