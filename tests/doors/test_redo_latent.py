"""`eraser redo` of what a checkpoint drew: the same pixels, or the name of the file that is another by now."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from safetensors.torch import load_file, save_file

from eraser import sidecar
from eraser.files import read
from tests import miniature_extras as extras
from tests import miniature_pipelines as made
from tests.engines.networks import DEAF

Command = Callable[..., Any]

pytestmark = DEAF


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("checkpoints")
    made.stable_diffusion(place / "sd")
    extras.lora(place / "sd", place / "look.safetensors")
    extras.adapter(place / "ip-adapter.safetensors")
    return place


@pytest.fixture
def models(folder: Path, shelf: Path) -> Path:
    """The folder of pictures, with sd, look.safetensors, an adapter and a reference picture in it."""
    shutil.copytree(shelf, folder, dirs_exist_ok=True)
    shutil.copy(folder / "painted.png", folder / "mood.png")
    return folder


def told_of(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return content


def test_a_drawing_is_made_again_bit_for_bit_and_its_files_are_named_with_their_sums(
    command: Command, models: Path
) -> None:
    for name, engine, words in (
        ("removed", "latent:sd?steps=2&tries=1", ""),
        ("drawn", "latent:sd?steps=2&lora=look.safetensors:0.7", "--prompt 'a door'"),
    ):
        done = command(f"erase photo.png mask.png --engine '{engine}' {words} --report -o {name}.png")
        assert done.code == 0, done.err
        again = command(f"redo {name}.png.json")
        assert again.code == 0, again.err
        assert "bit for bit" in again.out
        assert np.array_equal(read(models / f"{name}.png").pixels, read(models / f"{name}-redone.png").pixels)
    sums = told_of(models, "drawn.png.json")["facts"]["sha256"]
    weights = {path.relative_to(models / "sd").as_posix(): path for path in (models / "sd").glob("*/*.safetensors")}
    assert len(weights) >= 3
    weights["lora/look.safetensors"] = models / "look.safetensors"
    for name, path in weights.items():
        assert sums[name] == sidecar.sum_of(path)
    assert sums["scheduler/scheduler_config.json"] == sidecar.sum_of(models / "sd/scheduler/scheduler_config.json")


@pytest.mark.parametrize("what", ["look.safetensors", "mood.png", "unet"])
def test_a_file_that_was_overwritten_is_named(command: Command, models: Path, what: str) -> None:
    engine = "latent:sd?steps=2&lora=look.safetensors&adapter=ip-adapter.safetensors&reference=mood.png"
    done = command(f"erase photo.png mask.png --engine '{engine}' --prompt 'a door' --report -o a.png")
    assert done.code == 0, done.err
    assert command("redo a.png.json -o same.png --json").out.count('"same": true') == 1
    match what:
        case "look.safetensors":
            name = "lora/look.safetensors"
            extras.lora(models / "sd", models / what, strength=0.8)
        case "mood.png":
            name = "reference/mood.png"
            Image.effect_noise((64, 64), 90).convert("RGB").save(models / what)
        case _:
            name = "unet/diffusion_pytorch_model.safetensors"
            file = models / "sd" / name
            held = load_file(file)
            held["conv_out.weight"] *= 1.5
            save_file(held, file)
    redone = command("redo a.png.json -o b.png")
    assert redone.code == 0
    assert "the pixels are not those of the first result" in redone.err
    assert f"sha256.{name} was " in redone.err
    assert "nothing that is known" not in redone.err
