"""Pictures drawn from a seed, whose truth under any hole is therefore known.

A scene is `draw(x, y, random)`: x and y (H, W) float32 in pixels of the finished picture (they may be finer than
whole pixels), result (H, W, 3) float32 in [0, 1]. `render` draws finer than needed and averages, so edges are as soft
as in a photograph, and adds a little grain.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage, spatial

from benchmarks.scores import shrink

Scene = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
FINER = 2  # samples per pixel along each axis
GRAIN = 0.008  # standard deviation of the camera's noise, of full scale


def render(scene: Scene, width: int, height: int, seed: int, *, finer: int = FINER) -> np.ndarray:
    """(height, width, 3) uint8 of a scene; the same seed gives the same picture."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: height * finer, : width * finer].astype(np.float32) / finer
    picture = shrink(np.asarray(scene(x, y, random), np.float32), (height, width))
    picture = picture + GRAIN * random.standard_normal(picture.shape, np.float32)
    return (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def clouds(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    cover = 1 / (1 + np.exp(-2.2 * fractal(x.shape, 1.8, random)))
    sky = mix(colour(0.25, 0.45, 0.80), colour(0.62, 0.76, 0.92), y / y.max())
    white = colour(0.95, 0.95, 0.96) - 0.12 * fractal(x.shape, 1.5, random).clip(0, 2)[..., None]
    return mix(sky, white, cover)


def bricks(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A wall going away to the right: courses converge, bricks get shorter."""
    depth = 1 / (1 - 0.55 * x / x.max())
    u, v = 260 * np.log(depth) + 0.35 * x, (y - 0.45 * y.max()) * depth
    course = np.floor(v / 22)
    u = u + np.where(course % 2 == 0, 0, 24)
    brick = np.floor(u / 48)
    from_edge = np.minimum(np.minimum(u % 48, 48 - u % 48), np.minimum(v % 22, 22 - v % 22))
    tone = per_cell(brick, course, random)[..., None]
    rough = 0.05 * fractal(x.shape, 0.6, random)[..., None]
    clay = colour(0.50, 0.24, 0.18) + (tone - 0.5) * colour(0.25, 0.14, 0.10) + rough
    mortar = colour(0.66, 0.63, 0.58) + rough
    return mix(mortar, clay, ((from_edge - 1.6) / 1.2).clip(0, 1)) * (1.1 - 0.3 * x / x.max())[..., None]


def wood(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Planks with bent grain and a few knots, around which the grain runs."""
    bend = 9 * np.sin(x / 170 + random.uniform(0, 6)) + 4 * fractal(x.shape, 2.2, random)
    for _ in range(5):
        knot_x, knot_y = random.uniform(0, x.max()), random.uniform(0, y.max())
        away = (x - knot_x) ** 2 / 3200 + (y - knot_y) ** 2 / 500
        bend += 16 * np.sign(y - knot_y) * np.exp(-away)
    plank = np.floor((y + 3 * np.sin(x / 300)) / 92)
    grain = y + bend + 40 * per_cell(plank, 0 * plank, random)
    rings = 0.5 + 0.3 * np.sin(grain / 2.6) + 0.2 * np.sin(grain / 6.1 + 1)
    pores = ndimage.gaussian_filter(random.standard_normal(x.shape), (0.7, 14)) * 2.2
    tone = per_cell(plank, 0 * plank + 1, random)
    board = (
        mix(colour(0.44, 0.27, 0.14), colour(0.72, 0.52, 0.32), rings * 0.75 + 0.25 * tone) + 0.04 * pores[..., None]
    )
    seam = (y + 3 * np.sin(x / 300)) % 92
    return board * (np.minimum(seam, 92 - seam) / 1.8).clip(0.25, 1)[..., None]


def seaside(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Sky, a sharp horizon, waves that grow towards the viewer, sand with a slanting edge."""
    horizon, shore = 0.42 * y.max(), 0.78 * y.max() + 0.09 * x + 7 * np.sin(x / 55)
    sky = mix(colour(0.33, 0.52, 0.82), colour(0.90, 0.82, 0.74), (y / horizon).clip(0, 1) ** 1.5)
    near = ((y - horizon) / (y.max() - horizon)).clip(1e-3, 1)
    waves = np.sin(60 / (near + 0.06) + 2.5 * fractal(x.shape, 1.6, random)) * (0.4 + near)
    ripples = ndimage.gaussian_filter(random.standard_normal(x.shape), (1.2, 7)) * 5
    sea = mix(colour(0.12, 0.30, 0.42), colour(0.35, 0.52, 0.58), (0.45 + 0.25 * waves + 0.12 * ripples).clip(0, 1))
    sand = colour(0.78, 0.68, 0.52) + 0.07 * fractal(x.shape, 0.4, random)[..., None]
    water_or_sand = mix(sea, sand, ((y - shore) / 3 + 0.5).clip(0, 1))
    return mix(sky, water_or_sand, (y - horizon + 0.5).clip(0, 1))


def gravel(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    count = int(x.max() * y.max() / 260)
    stones = random.uniform(0, 1, (count, 2)) * (x.max(), y.max())
    distance, nearest = spatial.cKDTree(stones).query(np.stack([x, y], axis=-1).reshape(-1, 2), k=2, workers=-1)
    gap = (distance[:, 1] - distance[:, 0]).reshape(x.shape)
    stone = nearest[:, 0].reshape(x.shape)
    tones = colour(0.45, 0.43, 0.41) + random.normal(0, 0.11, (count, 1)) + random.normal(0, 0.025, (count, 3))
    light = 0.75 + 0.02 * ((stones[stone, 0] - x) + (stones[stone, 1] - y)) + 0.06 * fractal(x.shape, 0.5, random)
    return tones[stone] * (light * (gap / 4).clip(0.15, 1))[..., None]


def windows(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A facade seen from one side, every window with its frame, blind and reflection."""
    depth = 1 / (1 - 0.42 * x / x.max())
    u, v = 300 * np.log(depth) + 0.5 * x, (y - 0.6 * y.max()) * depth
    column, storey = np.floor(u / 58), np.floor(v / 76)
    in_u, in_v = u % 58, v % 76
    wall = colour(0.70, 0.66, 0.58) + 0.03 * fractal(x.shape, 0.8, random)[..., None]
    to_frame = np.minimum(np.minimum(in_u - 12, 46 - in_u), np.minimum(in_v - 14, 62 - in_v))
    blind = in_v < 14 + 40 * per_cell(column, storey, random) ** 2
    glass = mix(colour(0.10, 0.13, 0.18), colour(0.55, 0.64, 0.74), (0.2 + 0.6 * (in_v + in_u) / 134).clip(0, 1))
    pane = np.where(blind[..., None], colour(0.82, 0.80, 0.72), glass)
    bar = np.abs(in_u - 29) < 1.6
    pane = np.where(bar[..., None], colour(0.93, 0.93, 0.92), pane)
    framed = mix(colour(0.93, 0.93, 0.92), pane, (to_frame - 2.5).clip(0, 1))
    ledge = ((in_v > 64) & (in_v < 68))[..., None] * 0.22
    return mix(wall - ledge, framed, (to_frame + 0.5).clip(0, 1))


def cloth(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Bent stripes of three colours over a weave, with soft folds."""
    along = x + 34 * np.sin(y / 95 + 0.4) + 0.22 * y
    stripe = np.floor(along / 26).astype(int) % 3
    palette = np.stack([colour(0.80, 0.78, 0.70), colour(0.16, 0.25, 0.45), colour(0.66, 0.20, 0.20)])
    weave = 0.05 * (np.sin(x * 2.1) * np.sin(y * 2.1))
    folds = 0.14 * ndimage.gaussian_filter(random.standard_normal(x.shape), (90, 40)) * 210
    return palette[stripe] * (0.95 + weave + folds.clip(-0.3, 0.2))[..., None]


def floor_tiles(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A checkered floor in perspective, a plain wall above its far edge, light falling off to one side."""
    edge = 0.25 * y.max()
    far = 60 / (np.maximum(y, edge) - edge + 45)
    u, v = (x - 0.4 * x.max()) * far / 46, far * 15
    odd = (np.floor(u) + np.floor(v)) % 2
    marble = 0.03 * fractal(x.shape, 1.4, random)[..., None]
    tiles = mix(colour(0.28, 0.25, 0.24), colour(0.80, 0.76, 0.69), odd) + marble
    gap = np.minimum(np.minimum(u % 1, 1 - u % 1) / far, np.minimum(v % 1, 1 - v % 1) / far / 3) * 46
    tiles = tiles * (gap / 0.9).clip(0.55, 1)[..., None]
    wall = colour(0.62, 0.66, 0.60) + 0.012 * fractal(x.shape, 1, random)[..., None]
    skirting = np.where((y > edge - 12)[..., None], colour(0.88, 0.86, 0.82), wall)
    return mix(skirting, tiles, (y - edge + 0.5).clip(0, 1)) * (1.08 - 0.35 * x / x.max())[..., None]


def grass(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Thousands of blades, back to front, longer towards the viewer."""
    from PIL import Image, ImageDraw

    height, width = x.shape
    sheet = Image.new("RGB", (width, height), (38, 58, 22))
    pen = ImageDraw.Draw(sheet)
    roots = np.sort(random.uniform(0, 1.15, 9000) ** 1.3) * height
    for root in roots:
        near = 0.25 + root / height
        at, lean = random.uniform(0, width), random.normal(0, 12) * near
        length = random.uniform(40, 75) * near
        green = random.uniform(0.7, 1.25)
        shade = tuple(int(min(255, part * green)) for part in (92, 132, 48))
        bend = [(at, root), (at + lean * 0.35, root - length * 0.55), (at + lean, root - length)]
        pen.line(bend, fill=shade, width=max(1, round(3.2 * near)))
    return np.asarray(sheet, np.float32) / 255 * (0.8 + 0.25 * y / y.max())[..., None]


def road(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A bend of asphalt between verges, with an edge line and a dashed middle line."""
    middle = 0.5 * x.max() + 90 * np.sin(y / 260) + 0.12 * (y - 0.5 * y.max())
    across = (x - middle) / (0.55 + 0.75 * y / y.max())
    asphalt = colour(0.34, 0.34, 0.36) + 0.06 * fractal(x.shape, 0.3, random)[..., None]
    verge = mix(colour(0.30, 0.38, 0.16), colour(0.52, 0.50, 0.28), 0.5 + 0.22 * fractal(x.shape, 0.9, random))
    paint = colour(0.86, 0.86, 0.83) + 0.03 * fractal(x.shape, 0.3, random)[..., None]
    picture = mix(asphalt, verge, (np.abs(across) - 150 + 4 * fractal(x.shape, 1.2, random)).clip(0, 1))
    picture = mix(picture, paint, (4 - np.abs(np.abs(across) - 132)).clip(0, 1))
    dashed = (4 - np.abs(across)).clip(0, 1) * (y / (0.55 + 0.75 * y / y.max()) % 90 < 50)
    return mix(picture, paint, dashed)


def bokeh(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Soft discs of light on a dark gradient: smoothness and grain are all there is."""
    picture = mix(colour(0.08, 0.16, 0.10), colour(0.40, 0.42, 0.20), (x + y) / (x.max() + y.max()))
    for _ in range(60):
        at_x, at_y, radius = random.uniform(0, x.max()), random.uniform(0, y.max()), random.uniform(14, 52)
        light = random.uniform(0.1, 0.4) * random.uniform(0.6, 1, 3)
        disc = 0.5 - 0.5 * np.tanh((np.hypot(x - at_x, y - at_y) - radius) / 5)
        picture = picture + disc[..., None] * light * (1 - picture)
    return picture


def shingles(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rows of round roof tiles, each lying over the two above it."""
    picture = np.broadcast_to(colour(0.2, 0.1, 0.08), (*x.shape, 3))
    slant = y + 0.08 * x
    for row in range(int(slant.max() / 30) + 2, -1, -1):
        u = x + (18 if row % 2 else 0)
        tile = np.floor(u / 36)
        off = np.hypot(u - tile * 36 - 18, (slant - row * 30 + 20).clip(0))
        tone = per_cell(tile, 0 * tile + row, random)[..., None]
        face = colour(0.55, 0.29, 0.20) * (0.75 + 0.5 * tone) * (1.05 - 0.018 * off[..., None])
        inside = (off < 19) & (slant - row * 30 > -46)
        picture = np.where(inside[..., None], face, picture)
    return picture + 0.03 * fractal(x.shape, 0.5, random)[..., None]


def meadow(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Sky over hills over a rough field: the picture that the time plots are measured on, at any size."""
    unit = y.max()
    sky = mix(colour(0.30, 0.50, 0.82), colour(0.80, 0.86, 0.92), (2 * y / unit).clip(0, 1))
    sky = mix(sky, colour(0.95, 0.95, 0.96), (0.3 * fractal(x.shape, 1.9, random)).clip(0, 0.8))
    ridge = unit * (0.42 + 0.05 * np.sin(5 * x / unit) + 0.02 * np.sin(17 * x / unit))
    hills = colour(0.24, 0.36, 0.24) + 0.05 * fractal(x.shape, 0.8, random)[..., None]
    field = mix(colour(0.36, 0.42, 0.16), colour(0.66, 0.60, 0.32), 0.5 + 0.2 * fractal(x.shape, 0.7, random))
    land = mix(hills, field, ((y - 0.55 * unit) / 3).clip(0, 1))
    return mix(sky, land, ((y - ridge) / 2).clip(0, 1))


SCENES: dict[str, Scene] = {
    scene.__name__.replace("_", "-"): scene
    for scene in (clouds, bricks, wood, seaside, gravel, windows, cloth, floor_tiles, grass, road, bokeh, shingles)
}


def fractal(shape: tuple[int, int], slope: float, random: np.random.Generator) -> np.ndarray:
    """(H, W) float32 noise, mean 0, deviation 1, whose amplitude falls with frequency to the power of `slope`."""
    # capped: beyond it the octaves repeat, mirrored, and nobody waits for a huge transform
    height, width = min(shape[0], 2048), min(shape[1], 2048)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(random.standard_normal((height, width))) * np.maximum(frequency, 1 / 512) ** -slope
    plane = np.fft.irfft2(waves, (height, width))
    plane = ((plane - plane.mean()) / plane.std()).astype(np.float32)
    return np.pad(plane, ((0, shape[0] - height), (0, shape[1] - width)), mode="symmetric")


def per_cell(column: np.ndarray, row: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(H, W) uniform in [0, 1), the same for all samples of one cell."""
    table = random.uniform(0, 1, (64, 64)).astype(np.float32)
    return table[column.astype(int) % 64, row.astype(int) % 64]


def colour(red: float, green: float, blue: float) -> np.ndarray:
    return np.array([red, green, blue], np.float32)


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`first` where share is 0, `second` where it is 1; colours or pictures, share (H, W)."""
    share = np.asarray(share, np.float32)[..., None]
    return first * (1 - share) + second * share
