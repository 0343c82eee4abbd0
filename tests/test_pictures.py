"""Pictures come back as the kind, mode, type and byte order they came as, changed in the hole and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eraser.canvas import Canvas, extend, opaque
from eraser.compose import compose
from eraser.errors import DamagedImage, SizeMismatch, UnsupportedImage
from eraser.files import Photo, read
from eraser.geometry import Box, Size
from eraser.layouts import Layout
from eraser.pictures import PILLOW_LAYOUTS, Picture, array_to_pillow, pillow_to_array

WIDTH, HEIGHT = 40, 30


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype == np.bool_:
        return rng.random(shape) < 0.5
    return (rng.random(shape) * (1 if dtype.kind == "f" else min(opaque(dtype), 65535))).astype(dtype)


def pillow_images() -> Iterator[tuple[str, Image.Image]]:
    rng = np.random.default_rng(1)
    for mode in PILLOW_LAYOUTS:
        blank = pillow_to_array(Image.new(mode, (WIDTH, HEIGHT)))
        image = array_to_pillow(random_values(rng, blank.shape, blank.dtype), mode)
        if mode in ("P", "PA"):
            image.putpalette(rng.integers(0, 256, 768).astype(np.uint8).tobytes())
        image.info["dpi"] = (300, 300)
        image.info["icc_profile"] = b"profile"
        yield mode, image
        keys: dict[str, list[Any]] = {
            "P": [7, bytes(range(0, 250, 2))],
            "L": [7],
            "1": [0],
            "RGB": [(1, 2, 3)],
            "I;16": [9],
        }
        for key in keys.get(mode, []):
            keyed = image.copy()
            keyed.info["transparency"] = key
            yield f"{mode} with {type(key).__name__} transparency", keyed
    palette = Image.frombytes("P", (WIDTH, HEIGHT), rng.integers(0, 9, (HEIGHT, WIDTH)).astype(np.uint8).tobytes())
    palette.putpalette(rng.integers(0, 256, 36).astype(np.uint8).tobytes(), "RGBA")
    yield "P with RGBA palette", palette
    yield "P without palette", Image.new("P", (WIDTH, HEIGHT), 5)


def arrays() -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(2)
    for dtype in ("bool", "uint8", "uint16", ">u2", "float16", "float32", "float64", ">f4"):
        for bands in ((), (1,), (2,), (3,), (4,)):
            yield f"{dtype} {bands}", random_values(rng, (HEIGHT, WIDTH, *bands), np.dtype(dtype))
    yield "columns first", np.asfortranarray(random_values(rng, (HEIGHT, WIDTH, 3), np.dtype("u1")))
    yield "every second", random_values(rng, (HEIGHT * 2, WIDTH * 2, 4), np.dtype("u1"))[::2, ::-2]


def photos() -> Iterator[tuple[str, Photo]]:
    rng = np.random.default_rng(3)
    palette = rng.integers(0, 256, (40, 4)).astype(np.uint8)
    yield "RGB", Photo(random_values(rng, (HEIGHT, WIDTH, 3), np.dtype("u2")), Layout(3))
    yield "CMYK and alpha", Photo(random_values(rng, (HEIGHT, WIDTH, 5), np.dtype("u1")), Layout(4, has_alpha=True))
    yield "palette", Photo(rng.integers(0, 40, (HEIGHT, WIDTH)).astype(np.uint8), Layout(1, palette=palette))


EVERYTHING = [*pillow_images(), *arrays(), *photos()]


def stored(image: Any) -> np.ndarray:
    if isinstance(image, Photo):
        return image.pixels
    return image if isinstance(image, np.ndarray) else pillow_to_array(image)


def hole() -> np.ndarray:
    marked = np.zeros((HEIGHT, WIDTH), bool)
    marked[5:12, 8:20] = True
    marked[29, 39] = marked[0, 0] = True
    return marked


def filled(picture: Picture, marked: np.ndarray, seed: int = 0) -> np.ndarray:
    canvas = Canvas(picture.colour, marked, picture.alpha)
    view, scale = canvas.view(canvas.size.box)
    filling = np.random.default_rng(seed).uniform(-1, 1, view.pixels.shape).astype(np.float32)
    target = picture.writable()
    return compose(target, marked, filling, canvas.size.box, scale=scale, out=target)


@pytest.mark.parametrize(("name", "image"), EVERYTHING, ids=[name for name, _ in EVERYTHING])
def test_everything_outside_the_hole_survives(name, image):
    before = stored(image).copy()
    picture = Picture.open(image)
    assert picture.size == Size(WIDTH, HEIGHT)
    alpha = None if picture.alpha is None else picture.alpha.copy()
    colour = filled(picture, hole()).copy()
    result = picture.close(filled(picture, hole()), hole())
    assert type(result) is type(image) or isinstance(result, Image.Image)
    after = stored(result)
    assert (after.dtype, after.shape) == (before.dtype, before.shape)
    assert np.array_equal(after[~hole()], before[~hole()])
    assert np.array_equal(stored(image), before)
    if isinstance(image, Image.Image):
        assert (result.mode, result.info, result.getpalette("RGBA" if image.mode == "P" else "RGB")) == (
            image.mode, image.info, image.getpalette("RGBA" if image.mode == "P" else "RGB"),
        )  # fmt: skip
    again = Picture.open(result)
    assert (again.alpha is None) == (alpha is None)
    if alpha is not None:
        assert np.array_equal(again.alpha, alpha)
    if not any(word in name for word in ("P", "palette", "HSV", "YCbCr", "transparency")):
        assert np.array_equal(again.colour[hole()], colour[hole()])


@pytest.mark.parametrize(("name", "image"), EVERYTHING, ids=[name for name, _ in EVERYTHING])
def test_extended_pictures_hold_the_original_inside_and_opaque_margins(name, image):
    before = stored(image).copy()
    picture = Picture.open(image)
    canvas = extend(picture.colour, picture.alpha, left=3, top=2, right=1, bottom=4)
    view, scale = canvas.view(canvas.size.box)
    colour = compose(canvas.colour, canvas.hole, view.pixels, canvas.size.box, scale=scale)
    result = picture.close(colour, canvas.hole, left=3, top=2)
    after = stored(result)
    assert after.shape == (HEIGHT + 6, WIDTH + 4, *before.shape[2:])
    assert after.dtype == before.dtype
    assert np.array_equal(after[2:-4, 3:-1], before)
    assert np.array_equal(stored(image), before)
    again = Picture.open(result)
    if again.alpha is not None and "RGBA palette" not in name and name != "palette":
        assert (again.alpha[canvas.hole] == opaque(again.alpha.dtype)).all()
    if isinstance(image, Image.Image):
        assert result.info == image.info


WITH_ALPHA = [
    (name, image)
    for name, image in EVERYTHING
    if "palette" not in name and Picture.open(image).alpha is not None  # such a palette may hold nothing opaque
]


@pytest.mark.parametrize(("name", "image"), WITH_ALPHA, ids=[name for name, _ in WITH_ALPHA])
def test_the_hole_turns_opaque_when_asked(name, image):
    picture = Picture.open(image)
    again = Picture.open(picture.close(filled(picture, hole()), hole(), make_opaque=True))
    assert (again.alpha[hole()] == opaque(again.alpha.dtype)).all()
    assert np.array_equal(again.alpha[~hole()], picture.alpha[~hole()])


def test_a_painted_colour_never_turns_transparent_by_chance():
    image = Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9))
    image.info["transparency"] = (255, 255, 255)
    picture = Picture.open(image)
    colour = picture.colour.copy()
    colour[hole()] = 255
    again = Picture.open(picture.close(colour, hole()))
    assert (again.alpha == 255).all()
    assert (again.colour[hole()] == (255, 255, 254)).all()


def test_palettes_take_the_nearest_entry_that_can_be_seen():
    palette = np.array([[0, 0, 0, 255], [250, 250, 250, 255], [255, 255, 255, 0], [90, 90, 90, 255]], np.uint8)
    photo = Photo(np.zeros((HEIGHT, WIDTH), np.uint8), Layout(1, palette=palette))
    picture = Picture.open(photo)
    colour = picture.colour.copy()
    colour[hole()] = 255
    assert (picture.close(colour, hole()).pixels[hole()] == 1).all()
    colour[hole()] = 100
    assert (picture.close(colour, hole()).pixels[hole()] == 3).all()


def test_one_bit_pictures_are_thresholded():
    picture = Picture.open(np.zeros((HEIGHT, WIDTH), bool))
    canvas = Canvas(picture.colour, hole())
    _, scale = canvas.view(canvas.size.box)
    filling = np.full((HEIGHT, WIDTH, 1), 0.1, np.float32)
    filling[0, 0] = -0.1
    result = compose(picture.colour, hole(), filling, canvas.size.box, scale=scale)[:, :, 0]
    assert not result[0, 0]
    assert result.sum() == hole().sum() - 1


def test_only_one_copy_is_made_of_an_array():
    image = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    picture = Picture.open(image)
    assert np.shares_memory(picture.colour, image)
    target = picture.writable()
    assert not np.shares_memory(target, image)
    assert picture.writable() is target
    assert np.shares_memory(picture.close(target, hole()), target)


def test_a_path_opens_to_a_photo(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8))
    image.save(tmp_path / "a.png")
    picture = Picture.open(tmp_path / "a.png")
    result = picture.close(filled(picture, hole()), hole())
    assert isinstance(result, Photo)
    result.save(tmp_path / "b.png")
    assert np.array_equal(read(tmp_path / "b.png").pixels[~hole()], np.asarray(image)[~hole()])
    assert isinstance(Picture.open(result).close(result.pixels, hole()), Photo)


def test_large_pillow_images_are_converted_in_parts():
    image = Image.effect_noise((3000, 1500), 50)
    assert np.array_equal(pillow_to_array(image), np.asarray(image))
    assert array_to_pillow(np.asarray(image), "L").tobytes() == image.tobytes()
    assert np.array_equal(pillow_to_array(image, Box(5, 6, 70, 80)), np.asarray(image)[6:86, 5:75])


def test_sizes_that_do_not_close_are_named():
    picture = Picture.open(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(SizeMismatch, match="40x30"):
        picture.close(picture.colour[:9], hole()[:9])
    with pytest.raises(SizeMismatch, match=r"\(2, 0\)"):
        picture.close(picture.colour, hole(), left=2)


@pytest.mark.parametrize("mode", ["RGBa", "La", "LAB", "RGBX"])
def test_modes_without_a_way_back_are_refused(mode):
    with pytest.raises(UnsupportedImage, match=f"mode {mode} "):
        Picture.open(Image.new(mode, (4, 4)))


def test_damaged_and_animated_pillow_images(tmp_path):
    frames = [Image.effect_noise((9, 8), 50) for _ in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as image, pytest.raises(UnsupportedImage, match="3 frames"):
        Picture.open(image)
    Image.effect_noise((90, 80), 50).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-900])
    with Image.open(tmp_path / "a.jpg") as image, pytest.raises(DamagedImage, match="90x80"):
        Picture.open(image)
