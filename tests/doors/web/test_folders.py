"""Where people's pictures lie: only what was sent is opened, and nothing stays too long or grows too large."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from eraser import weights
from eraser.engines import registry
from eraser.errors import InputError, MissingWeights
from tests.doors.web.scenes import scene
from tests.doors.web.studios import SPOT, last, send

pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[web]' in the clone")

from web_demo.folders import Folders
from web_demo.studio import Limits, Studio
from web_demo.tasks import Settings
from web_demo.words import NOT_READY, explain, sentence


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


def test_no_path_of_the_server_is_said(studio: Studio) -> None:
    root = studio.folders.root
    error = InputError(f"{root}/uploads/ab12/my photo.png is damaged", hint=f'look into "{root}/desks/x/1/pixels.npy"')
    assert sentence(error, root) == 'my photo.png is damaged. Look into "pixels.npy".'


def test_an_engine_without_its_weights_is_told_without_a_path(
    studio: Studio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(weights.FOLDER, str(tmp_path))
    with pytest.raises(MissingWeights) as missing:
        weights.find(registry.ENTRIES["lama"].files[0])
    assert str(tmp_path) in str(missing.value)
    assert explain(missing.value, studio.folders.root) == NOT_READY
    assert str(tmp_path) in capsys.readouterr().err


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
