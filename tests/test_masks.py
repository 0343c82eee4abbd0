"""Every kind of mask means the same hole; regions, rings and growth agree with slow, obvious twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFilter
from scipy import ndimage

from eraser import masks
from eraser.errors import OutOfRange, SizeMismatch, UnsupportedImage
from eraser.geometry import Box, Size
from eraser.masks import fill_rings, from_box, from_colour, from_polygon, grow, prepare, regions, to_hole

SIZE = Size(20, 12)
holes = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def stroke() -> np.ndarray:
    hole = np.zeros((12, 20), bool)
    hole[3:8, 5:11] = True
    return hole


# every kind


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I", "I;16", "I;16B", "F", "PA", "CMYK", "YCbCr"])
def test_white_in_any_pillow_mode_is_the_hole(mode):
    image = Image.fromarray(stroke().astype(np.uint8) * 255)
    if mode.startswith("I;16"):
        pixels = (stroke() * 65535).astype(">u2" if mode.endswith("B") else "<u2")
        image = Image.frombytes(mode, (20, 12), pixels.tobytes())
    elif mode == "PA":
        image = image.convert("LA").convert("PA")
    else:
        image = image.convert(mode)
    before = image.tobytes()
    assert np.array_equal(to_hole(image, SIZE), stroke())
    assert image.tobytes() == before


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int64", "float32", "float64"])
@pytest.mark.parametrize("top", [1, "white"])
@pytest.mark.parametrize("bands", [0, 1, 2, 3, 4])
def test_arrays_mean_the_same_with_1_and_with_white(dtype, top, bands):
    white = 1 if top == 1 or dtype in ("bool", "float32", "float64") else min(np.iinfo(dtype).max, 65535)
    mask = (stroke() * white).astype(dtype)
    if bands:
        mask = np.repeat(mask[:, :, None], bands, axis=2)
        if bands in (2, 4):
            mask[:, :, -1] = white
    assert np.array_equal(to_hole(mask, SIZE), stroke())


def test_alpha_is_the_paint_where_it_varies_and_luminance_otherwise():
    mask = np.zeros((12, 20, 4), np.uint8)
    mask[:, :, 0] = 77
    mask[:, :, 3] = stroke() * 255
    assert np.array_equal(to_hole(mask, SIZE), stroke())
    mask[:, :, 3] = 0
    assert not to_hole(mask, SIZE).any()
    mask[:, :, 3] = 255
    assert to_hole(mask, SIZE).all()
    black = Image.fromarray(np.dstack([np.zeros((12, 20, 3), np.uint8), stroke().astype(np.uint8) * 9]))
    assert np.array_equal(to_hole(black, SIZE), stroke())
    keyed = Image.fromarray((~stroke()).astype(np.uint8) * 7)
    keyed.info["transparency"] = 7
    assert np.array_equal(to_hole(keyed, SIZE), stroke())


def test_soft_edges_belong_to_the_hole():
    soft = np.zeros((12, 20), np.uint8)
    soft[5] = np.arange(20)
    assert to_hole(soft, SIZE).sum() == 19
    floats = np.zeros((12, 20))
    floats[5] = np.arange(20) / 255
    assert to_hole(floats, SIZE).sum() == 18


@pytest.mark.parametrize("quality", [20, 50, 75, 95])
def test_compression_rings_are_not_paint(tmp_path, quality):
    hole = np.zeros((120, 160), bool)
    hole[30:71, 40:101] = True
    hole[80:83] = True
    path = tmp_path / "mask.jpg"
    Image.fromarray(hole.astype(np.uint8) * 255).save(path, quality=quality)
    for mask in (path, Image.open(path)):
        found = to_hole(mask, Size(160, 120))
        assert not found[~grow(hole, 2)].any()
        assert found[ndimage.binary_erosion(hole)].all()


def test_files_and_boxes_are_masks(tmp_path):
    Image.fromarray(stroke().astype(np.uint8) * 255).save(tmp_path / "mask.png")
    assert np.array_equal(to_hole(tmp_path / "mask.png", SIZE), stroke())
    Image.fromarray((stroke() * 65535).astype(np.uint16)).save(tmp_path / "deep.png")
    assert np.array_equal(to_hole(str(tmp_path / "deep.png"), SIZE), stroke())
    from eraser.files import read

    assert np.array_equal(to_hole(read(tmp_path / "mask.png"), SIZE), stroke())
    assert np.array_equal(to_hole(Box(5, 3, 6, 5), SIZE), stroke())


def test_bool_arrays_pass_through_and_are_never_changed():
    hole = stroke()
    assert to_hole(hole, SIZE) is hole
    before = hole.copy()
    prepared = prepare(hole, SIZE, 2)
    assert np.array_equal(hole, before)
    assert np.array_equal(prepared, grow(fill_rings(hole), 2))


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (np.zeros((12, 21), bool), SizeMismatch, "mask is 21x12, the image 20x12"),
        (Image.new("L", (12, 20)), SizeMismatch, "mask is 12x20, the image 20x12"),
        (np.zeros(20), UnsupportedImage, "(20,)"),
        (np.zeros((12, 20, 5)), UnsupportedImage, "(12, 20, 5)"),
        (np.zeros((12, 20), complex), UnsupportedImage, "complex"),
        (np.full((12, 20), np.nan), UnsupportedImage, "240 of the mask's values are NaN"),
        ([[1]], UnsupportedImage, "list"),
        (None, UnsupportedImage, "NoneType"),
    ],
)
def test_masks_that_do_not_fit_are_named(mask, error, words):
    with pytest.raises(error) as caught:
        to_hole(mask, SIZE)
    assert words in str(caught.value)


# boxes, polygons, colours


def test_boxes_are_cut_at_the_border():
    assert from_box(Box(-3, -3, 5, 4), SIZE).sum() == 2
    for box in (Box(20, 0, 4, 4), Box(0, 0, 0, 3), Box(3, 3, -2, 2)):
        with pytest.raises(OutOfRange, match="20x12"):
            from_box(box, SIZE)


def test_polygons_hold_their_corners_and_inside():
    hole = from_polygon([(2, 2), (10, 2), (10, 8), (2, 8)], SIZE)
    assert np.array_equal(hole, from_box(Box(2, 2, 9, 7), SIZE))
    everything = from_polygon([(-1e30, -1e30), (1e30, -1e30), (1e30, 1e30), (-1e30, 1e30)], SIZE)
    assert everything.all()
    for points in ([(1, 1), (2, 2)], [(1, 1), (2, float("nan")), (3, 3)], [(50, 50), (60, 50), (60, 60)]):
        with pytest.raises(OutOfRange):
            from_polygon(points, SIZE)


def test_colours_within_the_tolerance():
    pixels = np.zeros((12, 20, 3), np.uint8)
    pixels[3, 4] = (255, 0, 255)
    pixels[3, 5] = (250, 5, 250)
    pixels[3, 6] = (240, 5, 250)
    assert np.argwhere(from_colour(pixels, (255, 0, 255))).tolist() == [[3, 4], [3, 5]]
    deep = pixels.astype(np.uint16) * 257
    assert np.argwhere(from_colour(deep, (255, 0, 255))).tolist() == [[3, 4], [3, 5]]
    assert np.argwhere(from_colour(pixels / np.float32(255), (255, 0, 255), 0)).tolist() == [[3, 4]]
    assert from_colour(pixels[:, :, :1], (0, 0, 0), 3).sum() == 237
    for colour, tolerance in (((1, 2), 3), ((1, 2, 300), 3), ((1, 2, 3), 256), ((1, 2, float("nan")), 3)):
        with pytest.raises(OutOfRange):
            from_colour(pixels, colour, tolerance)


# slow twins


@given(holes)
def test_regions_agree_with_labelling(hole):
    labels, count = ndimage.label(hole, np.ones((3, 3)))
    expected = {
        (columns.start, rows.start, columns.stop, rows.stop, int((labels == index + 1).sum()))
        for index, (rows, columns) in enumerate(ndimage.find_objects(labels))
    }
    found = regions(hole)
    assert len(found) == count
    assert {(r.box.x, r.box.y, r.box.right, r.box.bottom, r.area) for r in found} == expected


def slow_fill(hole: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(hole, np.ones((3, 3)))
    filled = hole.copy()
    for index in range(1, count + 1):
        part = labels == index
        if not (part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any()):
            filled |= ndimage.binary_fill_holes(part)
    return filled


@settings(max_examples=300)
@given(holes)
def test_rings_agree_with_filling_each_region(hole):
    assert np.array_equal(fill_rings(hole), slow_fill(hole))


def slow_grow(hole: np.ndarray, amount: float) -> np.ndarray:
    ys, xs = np.nonzero(hole)
    rows, columns = np.mgrid[: hole.shape[0], : hole.shape[1]]
    away = (rows[..., None] - ys) ** 2 + (columns[..., None] - xs) ** 2
    return (away <= amount**2).any(axis=-1)


@given(holes, st.one_of(st.integers(0, 15), st.floats(0, 15)))
def test_growth_agrees_with_measuring_every_distance(hole, amount):
    assert np.array_equal(grow(hole, amount), slow_grow(hole, amount))


def test_much_speckle_grows_as_little_speckle_does(monkeypatch):
    hole = np.random.default_rng(0).random((150, 170)) < 0.03
    expected = slow_grow(hole, 4)
    assert np.array_equal(grow(hole, 4), expected)
    monkeypatch.setattr(masks, "_MOST_LOOPS", 0)
    assert np.array_equal(grow(hole, 4), expected)


def test_auto_grows_each_region_by_its_own_size():
    hole = np.zeros((700, 900), bool)
    hole[100:500, 100:500] = True  # 400 px: 8
    hole[600:605, 100:105] = True  # 5 px: 2
    hole[650, 300:800] = True  # a thin stroke: 2
    grown = grow(hole)
    assert np.array_equal(grown[:560], slow_box(hole[:560], 8))
    assert np.array_equal(grown[560:], slow_box(hole[560:], 2))


def slow_box(hole: np.ndarray, amount: int) -> np.ndarray:
    return ndimage.distance_transform_edt(~hole) <= amount


def test_growth_stays_a_few_percent():
    y, x = np.mgrid[:800, :800]
    disc = (x - 400) ** 2 + (y - 400) ** 2 < 200**2
    assert 1.04 < grow(disc).sum() / disc.sum() < 1.1


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "much"])
def test_growth_by_nonsense_is_refused(amount):
    with pytest.raises(OutOfRange, match="grow is"):
        grow(stroke(), amount)


def test_a_ring_is_filled_and_a_frame_is_not():
    ring = np.zeros((40, 50), bool)
    ring[5:30, 5:40] = True
    ring[8:27, 8:37] = False
    assert fill_rings(ring)[5:30, 5:40].all()
    frame = np.ones((40, 50), bool)
    frame[3:-3, 3:-3] = False
    assert np.array_equal(fill_rings(frame), frame)
    frame[10:20, 10:20] = True
    frame[12:18, 12:18] = False
    assert fill_rings(frame).sum() == frame.sum() + 36
    half = np.zeros((40, 50), bool)  # open towards the border
    half[5:30, :30] = True
    half[8:27, :27] = False
    assert np.array_equal(fill_rings(half), half)


def test_a_small_hole_in_a_huge_mask_stays_small():
    import tracemalloc

    huge = np.zeros((9000, 11000), bool)
    huge[4000:4300, 5000:5400] = True
    tracemalloc.start()
    masks._fill_rings(huge)
    masks._grow(huge, "auto")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 15e6
    assert regions(huge)[0].box.width == 400 + 2 * 7


def test_blurred_strokes_are_taken_to_their_end():
    soft = Image.fromarray(stroke().astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1))
    assert to_hole(soft, SIZE).sum() > stroke().sum()
