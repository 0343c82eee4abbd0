"""What the tests of checkpoints share: a drawing by one, and a copy of one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from eraser.engines.latent_records import Options
from eraser.engines.loading import Loading
from eraser.engines.painter import Painter, Scene, Wish
from tests import miniature_pipelines as made
from tests.running import outcome

SCENE = Scene(np.zeros((32, 32, 3), np.float32), np.pad(np.ones((12, 12), bool), 10), 32, 32)
FAMILIES = {
    "sd15": made.stable_diffusion,
    "sdxl": made.stable_diffusion_xl,
    "sd35": made.stable_diffusion_35,
    "flux-fill": made.flux_fill,
    "qwen-image": made.qwen_image,
    "z-image": made.z_image,
}


def copied(folder: Path, place: Path) -> Path:
    shutil.copytree(folder, place)
    return place


def drawing(what: Loading | Path | Painter, seed: int = 1, **options: object) -> np.ndarray:
    if isinstance(what, Path):
        what = Loading(str(what), "folder")
    painter = what if isinstance(what, Painter) else Painter(what)
    steps = painter.steps(
        SCENE, Wish("a door", "fog", (seed,), 0.99), Options(**{"steps": 2, "guidance": 2.0} | options)
    )
    picture: np.ndarray = outcome(steps)[0]
    return picture
