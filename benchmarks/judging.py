"""How well the check after a removal tells a hole that shows its object again from one that does not.

    python -m benchmarks.judging [--areas 100,200,400,1000,4000,16000] [--repeats 2]

Objects are laid over scenes whose truth is known. Clean fillings are the truth and the patch engine's; the others
show the object as it was, moved, in other colours, blurred, or another of its kind. `likeness` is trusted at REDRAWN:
how many of each kind fall on the right side of it, by the object's size.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from benchmarks.scenes import SCENES, render
from benchmarks.suites import drawn_hole
from eraser.canvas import View
from eraser.engines.patch import PatchEngine
from eraser.engines.registry import load
from eraser.judge import REDRAWN, VISIBLE, judge

SIDE = 360
CLEAN = "truth", "patches"
OTHER = "something else", "a step brighter"  # bad, and not the object again
AREAS = "100,200,400,1000,4000,16000"


def fillings(name: str, area: int, number: int) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """(kind, filled, hole, erased) of one scene with one object of so many pixels."""
    rng = np.random.default_rng((area, number))
    truth = _scene(name, 0)
    centre = tuple(rng.uniform(0.35, 0.65, 2) * SIDE)
    shape = drawn_hole("blob", SIDE, SIDE, centre, area, rng)
    hole = ndimage.binary_dilation(shape, iterations=max(2, round(0.08 * area**0.5)))
    if (number + number // len(SCENES)) % 2:  # a piece of another scene
        names = sorted(SCENES)
        other = names[(names.index(name) + 1 + int(rng.integers(len(names) - 1))) % len(names)]
        body = np.roll(_scene(other, 1), rng.integers(0, SIDE, 2), axis=(0, 1))
        kin = np.roll(body, (97, 141), axis=(0, 1))
    else:  # of one colour, shaded
        depth = ndimage.distance_transform_edt(shape)
        light = 0.5 * depth / depth.max() + 0.1 * np.sin(np.add(*np.mgrid[:SIDE, :SIDE]) / 5)
        body = rng.uniform(-0.9, 0.9, 3) + light[:, :, None] + 0.03 * rng.standard_normal((SIDE, SIDE, 3))
        kin = body + rng.uniform(-0.15, 0.15, 3)
    cover = ndimage.gaussian_filter(shape.astype(np.float32), 0.7)[:, :, None]
    like = drawn_hole("blob", SIDE, SIDE, centre, int(0.8 * area), np.random.default_rng((area, number, 1)))
    kin_cover = ndimage.gaussian_filter(like.astype(np.float32), 0.7)[:, :, None]
    away = max(2, round(0.12 * area**0.5))
    moved = (np.roll(part, (away, -away), (0, 1)) for part in (body, cover))
    erased = _over(truth, body, cover)
    kinds = {
        "truth": truth,
        "as it was": erased,
        "moved": _over(truth, *moved),
        "recoloured": _over(truth, body[:, :, [1, 2, 0]], cover),
        "blurred": ndimage.gaussian_filter(erased, (2, 2, 0)),
        "another": _over(truth, kin, kin_cover),
        "something else": _scene(sorted(SCENES)[(sorted(SCENES).index(name) + 5) % len(SCENES)], 2),
        "a step brighter": truth + 0.08,
    }
    for kind, picture in kinds.items():
        yield kind, np.where(hole[:, :, None], np.clip(picture, -1, 1), truth).astype(np.float32), hole, erased


def with_patches(name: str, area: int, number: int) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Those, and what the patch engine fills the hole with."""
    engine = load("patch")
    assert isinstance(engine, PatchEngine)
    for kind, filled, hole, erased in fillings(name, area, number):
        yield kind, filled, hole, erased
        if kind == "truth":
            steps = engine.fill(View(np.where(hole[:, :, None], np.float32(0), filled), hole), seed=number)
            try:
                while True:
                    next(steps)
            except StopIteration as finished:
                yield "patches", np.where(hole[:, :, None], finished.value, filled), hole, erased


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--areas", default=AREAS)
    parser.add_argument("--repeats", type=int, default=2, help="objects over every scene, for each size")
    asked = parser.parse_args()
    areas = [int(area) for area in asked.areas.split(",")]
    right: dict[tuple[str, int], list[bool]] = defaultdict(list)
    seams: dict[tuple[str, int], list[bool]] = defaultdict(list)
    unsaid: dict[int, int] = defaultdict(int)
    for area in areas:
        for number, name in enumerate(sorted(SCENES) * asked.repeats):
            for kind, filled, hole, erased in with_patches(name, area, number):
                verdict = judge(filled, hole, erased)
                if kind in CLEAN or kind == "a step brighter":
                    seams[kind, area].append(verdict.has_seam == (kind not in CLEAN))
                if verdict.likeness is None:
                    unsaid[area] += 1
                else:
                    right[kind, area].append(verdict.redrawn == (kind not in CLEAN + OTHER))
    print(f"| object's pixels | {' | '.join(map(str, areas))} |\n|---|{'---|' * len(areas)}")
    for kind in dict.fromkeys(kind for kind, _ in right):
        cells = [f"{np.mean(right[kind, area]):.0%}" if right[kind, area] else "-" for area in areas]
        print(f"| {kind} | {' | '.join(cells)} |")
    print(f"| not said | {' | '.join(str(unsaid[area]) for area in areas)} |")
    for kind in dict.fromkeys(kind for kind, _ in seams):
        print(f"| seam: {kind} | {' | '.join(f'{np.mean(seams[kind, area]):.0%}' for area in areas)} |")
    print(f"\nlikeness from {REDRAWN}, seam from {VISIBLE}; {asked.repeats * len(SCENES)} objects of each size")


def _scene(name: str, seed: int) -> np.ndarray:
    return render(SCENES[name], SIDE, SIDE, seed).astype(np.float32) / 127.5 - 1


def _over(truth: np.ndarray, body: np.ndarray, cover: np.ndarray) -> np.ndarray:
    picture: np.ndarray = np.clip(truth * (1 - cover) + body * cover, -1, 1).astype(np.float32)
    return picture


if __name__ == "__main__":
    main()
