"""How photos arrive on the page, and what it says of those that cannot be taken, in a real browser."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from tests.doors.web.pages import ACROSS, Visit
from tests.doors.web.scenes import scene
from tests.doors.web.servers import Server

SEND = """([kind, name, text]) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type: 'image/png' }));
    document.dispatchEvent(kind === 'drop' ? new DragEvent('drop', { dataTransfer: transfer })
        : new ClipboardEvent('paste', { clipboardData: transfer }));
}"""


def test_a_photo_is_dropped_or_pasted(quick: Server, visit: Visit, photo: Path) -> None:
    page = visit(quick)
    text = base64.b64encode(photo.read_bytes()).decode()
    page.tab.evaluate(SEND, ["drop", "dropped.png", text])
    page.opened("dropped.png")
    page.tab.evaluate(SEND, ["paste", "pasted.png", text])
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
    Image.new("L", (6000, 5000)).save(memory, "PNG")
    refuse("wide.png", memory.getvalue(), "wide.png has 30 megapixels, and this page takes up to 25")
    Image.fromarray(scene(800, 600)).save(tmp_path / "beach.png")
    page.open(tmp_path / "beach.png")
    page.click("mode.extend")
    for side in range(4):
        page.tab.locator(".bench .amounts input").nth(side).fill("400")
    page.click("go")
    page.says("The result would have 39 megapixels, and this page makes up to 25")
    assert page.tab.locator(".bench .go").is_enabled()
    assert "beach.png" in page.tab.locator(".bench .facts").inner_text()  # what was there is still there


def test_two_photos_dropped_at_once_leave_one_of_them_whole(quick: Server, visit: Visit, photo: Path) -> None:
    page = visit(quick)
    texts = []
    for seed, (width, height) in enumerate([(900, 700), (300, 200)]):
        memory = io.BytesIO()
        Image.fromarray(scene(width, height, seed)).save(memory, "PNG")
        texts.append(base64.b64encode(memory.getvalue()).decode())
    page.tab.evaluate(SEND, ["drop", "one.png", texts[0]])
    page.tab.evaluate(SEND, ["drop", "two.png", texts[1]])
    page.opened("two.png")
    page.tab.wait_for_timeout(700)  # whatever is still on its way
    page.opened("two.png")
    assert "300 × 200" in page.tab.locator(".bench .facts").inner_text()
    assert page.tab.locator(".bench .photo").evaluate("i => [i.naturalWidth, i.naturalHeight]") == [300, 200]
    assert page.steps == 1


def test_the_same_file_is_opened_in_two_tabs_at_once(quick: Server, visit: Visit, photo: Path) -> None:
    pages = [visit(quick), visit(quick)]
    for page in pages:
        page.tab.locator(".bench input[type=file]").set_input_files(str(photo))
    for page in pages:
        page.opened("beach.png")
        page.stroke(*ACROSS, size=40)
        page.run()
