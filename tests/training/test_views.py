"""Training views: pieces of photographs are where they should be, holes are of the sizes and kinds that people draw."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from training import photos, views  # noqa: E402


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramps(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downward, blue marks the photograph."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)
    picture[..., 1] = np.linspace(0, 255, height)[:, None]
    return picture


@pytest.fixture
def two_pictures() -> list[list[np.ndarray]]:
    first, second = ramps(160, 200), ramps(240, 150)
    second[..., 2] = 200
    return [photos.levels_of(first), photos.levels_of(second)]


@pytest.fixture
def two_photos(two_pictures) -> photos.Photos:
    return photos.build(two_pictures, [3.0, 1.0])


def test_pieces_of_a_ramp_are_ramps_of_the_piece_s_scale(two_photos):
    clean = views.cut(two_photos, 200, 32, generator())
    values = (clean + 1) * 127.5
    assert values.min() >= -1e-3
    assert values.max() <= 255 + 1e-3
    red, green, blue = values.unbind(1)
    # linear along its own axis, constant along the other, within rounding of the levels
    assert (red - red.mean(1, keepdim=True)).abs().max() < 2.5
    assert (green - green.mean(2, keepdim=True)).abs().max() < 2.5
    assert (red.diff(dim=2).diff(dim=2).abs()).max() < 4
    # the whole of the shorter side at most, its own pixels at least
    second = blue[:, 0, 0] > 100
    rows = torch.where(second, 240.0, 160.0)
    span = (green[:, -1, 0] - green[:, 0, 0]) / 255 * rows * 32 / 31  # of the piece, in the photograph's pixels
    shorter = torch.where(second, 150.0, 160.0)
    assert (span > 32 * 0.9).all()
    assert (span < shorter * 1.09).all()
    assert span.min() < 45
    assert span.max() > 130
    mirrored = red[:, 0, -1] < red[:, 0, 0]
    assert 60 < mirrored.sum() < 140
    assert 20 < second.sum() < 85  # shares 3 and 1


def test_bilinear_agrees_with_its_slow_twin(two_photos, two_pictures):
    random = np.random.default_rng(2)
    chosen, level = torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2])
    rows, columns = (torch.from_numpy(random.uniform(-1, 30, (3, 5))).float() for _ in range(2))
    found = views._bilinear(two_photos, chosen, level, rows, columns)
    for i in range(3):
        picture = two_pictures[int(chosen[i])][int(level[i])].astype(float)
        for a in range(5):
            for b in range(5):
                y = min(max(float(rows[i, a]), 0), picture.shape[0] - 1)
                x = min(max(float(columns[i, b]), 0), picture.shape[1] - 1)
                top, left = int(y), int(x)
                bottom, right = min(top + 1, picture.shape[0] - 1), min(left + 1, picture.shape[1] - 1)
                upper = picture[top, left] * (1 - x % 1) + picture[top, right] * (x % 1)
                lower = picture[bottom, left] * (1 - x % 1) + picture[bottom, right] * (x % 1)
                assert found[i, a, b].numpy() == pytest.approx(upper * (1 - y % 1) + lower * (y % 1), abs=1e-3)


def test_equal_seeds_draw_equal_views_and_others_do_not(two_photos):
    source = views.PhotoViews(two_photos)
    (a, b), (c, d), (e, f) = (source.draw(20, 16, generator(seed)) for seed in (4, 4, 5))
    assert torch.equal(a, c)
    assert torch.equal(b, d)
    assert not torch.equal(a, e)
    assert not torch.equal(b, f)
    assert a.min() >= -1
    assert a.max() <= 1


def test_holes_are_of_every_size_people_draw_and_never_all_or_nothing():
    holes = views.draw_holes(400, 48, generator(1))
    assert holes.shape == (400, 1, 48, 48)
    assert set(holes.unique().tolist()) == {0.0, 1.0}
    area = holes.mean((1, 2, 3))
    assert area.min() >= views.LEAST_HOLE
    assert area.max() <= views.MOST_HOLE
    assert (area < 0.05).float().mean() > 0.15
    assert (area > 0.25).float().mean() > 0.1
    at_border = holes[..., 0].amax((1, 2)) + holes[..., -1].amax((1, 2))
    assert 0.15 < (at_border > 0).float().mean() < 0.7


@pytest.mark.parametrize("family", [views.blobs, views.strokes, views.polygons, views.boxes, views.sides])
def test_each_kind_of_hole_mostly_is_one(family):
    ramp = (torch.arange(64) + 0.5) / 64
    inside = family(100, ramp, generator(2)) > 0
    area = inside.float().mean((1, 2))
    assert (area > views.LEAST_HOLE).float().mean() > 0.9
    assert 0.02 < area.mean() < 0.45


def test_sides_leave_the_middle_of_the_other_side_known():
    ramp = (torch.arange(64) + 0.5) / 64
    inside = views.sides(200, ramp, generator(3)) > 0
    assert (inside.flatten(1).float().mean(1) < 0.8).all()
    edges = torch.stack([inside[:, 0].all(1), inside[:, -1].all(1), inside[:, :, 0].all(1), inside[:, :, -1].all(1)])
    assert (edges.sum(0) >= 1).float().mean() > 0.75  # oblique ones may leave a corner


def write_folder(folder: Path) -> None:
    rows = []
    for number in range(60):
        picture = ramps(90, 120)
        picture[..., 2] = 4 * number
        Image.fromarray(picture).save(folder / f"{number}.png")
        panorama = number < 12
        rows.append(
            {
                "file": f"{number}.png",
                "repository": "mfecane/shadercity" if panorama else "someone/photos",
                "path": f"cubes/scene{number // 6}/{number}.png" if panorama else f"{number}.png",
                "commit": "0" * 40,
                "licence": "CC0" if panorama else "CC BY 2.0",
            }
        )
    with (folder / "manifest.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_pack_holds_each_photograph_once_and_the_same_way_every_time(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "HELD_OUT", 5)
    write_folder(tmp_path)
    for name, now in (("a.zip", 1e9), ("b.zip", 1.5e9)):
        with monkeypatch.context() as another:
            another.setattr(time, "time", lambda now=now: now)
            photos.pack(tmp_path, tmp_path / name, side=60, quality=90)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    parts = [photos.load(tmp_path / "a.zip", held_out=flag) for flag in (False, True)]
    assert len(parts[0]) + len(parts[1]) == 60
    assert 3 < len(parts[1]) < 25
    blues = [_blues(part) for part in parts]
    assert not set(blues[0]) & set(blues[1])
    # the two panoramas go one way or the other as a whole
    for scene in (range(6), range(6, 12)):
        assert len({number in blues[1] for number in scene}) == 1
    assert parts[0].height[0].tolist() == [60, 30, 15, 7]
    assert sum(parts[0].sources.values()) == len(parts[0])
    assert set(parts[0].sources) | set(parts[1].sources) == {"mfecane/shadercity (CC0)", "someone/photos (CC BY 2.0)"}


def _blues(part: photos.Photos) -> list[int]:
    """The photographs' numbers, as their blue says (WebP keeps it within a few levels)."""
    begin = part.offset[:, -1]
    return [round(part.pixels[start + 2 :: 3][:20].float().mean().item() / 4) for start in begin.tolist()]
