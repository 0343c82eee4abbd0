"""`eraser background` on the command line: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eraser.__main__ import main
from eraser.engines import registry
from eraser.engines.base import EngineInfo, Progress

WIDTH, HEIGHT = 50, 40
INFO = EngineInfo("easel", "for tests", "none", takes_prompt=True)


class Easel:
    """Paints one grey, lighter with the seed."""

    info = INFO

    def __init__(self, info: EngineInfo) -> None:
        pass

    def fill(self, view, *, seed, prompt=None):
        yield Progress(0.5, f"thinking of {prompt}")
        return np.full(view.pixels.shape, 0.2 + seed / 10, np.float32)


@pytest.fixture
def command(tmp_path: Path, monkeypatch, capsys) -> Callable[..., Any]:
    """command("photo.png", "mask.png", ...) in a folder that holds both; gives code, out and err."""
    monkeypatch.setitem(registry.ENTRIES, "easel", registry.Entry(INFO, f"{__name__}:Easel"))
    monkeypatch.setattr("eraser.session.registry.load", lambda name: Easel(INFO) if name == "easel" else load(name))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save("photo.png")
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:30, 15:35] = 255
    Image.fromarray(mask).save("mask.png")
    Image.fromarray(np.zeros_like(mask)).save("empty.png")

    def run(*words: str, name: str = "background") -> tuple[int, str, str]:
        code = main([name, *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


load = registry.load
ASKED = ("photo.png", "mask.png", "--engine", "easel", "--prompt", "a wall", "--match", "0")


def pixels(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image)


def test_the_subject_stays_and_the_rest_is_new(command):
    code, out, _ = command(*ASKED, "--seed", "3")
    assert code == 0
    assert out.startswith("photo-background.png: 50x40 pixels, 1600 of them painted")
    inside = pixels("mask.png") == 255
    result = pixels("photo-background.png")
    assert np.array_equal(result[inside], pixels("photo.png")[inside])
    assert (result[~inside] == round((0.5 + 1) * 127.5)).all()


def test_a_hard_edge_is_softened_when_asked(command):
    code, out, _ = command(*ASKED, "--soften", "2", "-o", "soft.png", "--json")
    assert code == 0
    assert json.loads(out)["hole_pixels"] == WIDTH * HEIGHT - 16 * 16


def test_a_result_is_made_again_from_its_report(command):
    assert command(*ASKED, "--soften", "1", "-o", "new.png", "--report")[0] == 0
    assert json.loads(Path("new.png.json").read_text())["options"] == {"match": 0.0, "soften": 1.0}
    code, out, _ = command("new.png.json", name="redo")
    assert code == 0
    assert "bit for bit" in out
    assert np.array_equal(pixels("new-redone.png"), pixels("new.png"))
    told = json.loads(Path("new.png.json").read_text())
    Path("new.png.json").write_text(json.dumps(told | {"mask": None}))
    code, _, err = command("new.png.json", "-o", "third.png", name="redo")
    assert code == 2
    assert "names no mask" in err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("photo.png", "mask.png"), 2, "prompt"),
        (("photo.png", "mask.png", "--prompt", "a wall"), 3, "behind a subject nothing is"),
        (("photo.png", "empty.png", "--prompt", "a wall", "--engine", "easel"), 2, "marks none of the image's 2000"),
        ((*ASKED, "--match", "2"), 2, "match"),
        ((*ASKED, "-o", "photo.png"), 2, "photo.png"),
        (("photo.png", "none.png", "--prompt", "a", "--engine", "easel"), 2, "none.png"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(command, tmp_path, words, code, told):
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    got, out, err = command(*words)
    assert got == code
    assert told in err
    assert err.count("\n") == 1
    assert not out
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("call", [("erase", "photo.png", "mask.png"), ("extend", "photo.png", "--left", "9")])
def test_erase_and_extend_take_a_prompt_too(command, call):
    name, *words = call
    code, _, err = command(*words, "--engine", "easel", "--prompt", "a bench", "-o", "out.png", "--report", name=name)
    assert code == 0, err
    assert json.loads(Path("out.png.json").read_text(encoding="utf-8"))["prompt"] == "a bench"
    code, _, err = command(*words, "--prompt", "a bench", "-o", "second.png", name=name)
    assert code == 3
    assert 'the engine "patch" takes no prompt' in err
