"""Alpha from masks of every kind, and the two colours of a soft edge unmixed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from eraser.errors import OutOfRange, SizeMismatch, UnsupportedImage
from eraser.geometry import Box, Size
from eraser.mattes import softened, to_alpha, unmix

SIZE = Size(12, 8)
RAMP = np.linspace(0, 1, 12, dtype=np.float32)[None].repeat(8, axis=0)
BYTES = np.rint(RAMP * 255).astype(np.uint8)


# -- alpha -------------------------------------------------------------------------------------------------------------


def with_alpha(values: np.ndarray) -> np.ndarray:
    return np.dstack([np.full((*values.shape, 3), 200, np.uint8), values])


KINDS = {
    "uint8": BYTES,
    "uint16": np.rint(RAMP * 65535).astype(np.uint16),
    "float32": RAMP,
    "int32 of bytes": BYTES.astype(np.int32),
    "three bands": np.dstack([BYTES // 3, BYTES, BYTES // 2]),
    "alpha that varies": with_alpha(BYTES),
    "Pillow L": Image.fromarray(BYTES),
    "Pillow RGBA": Image.fromarray(with_alpha(BYTES)),
    "Pillow I": Image.fromarray(BYTES.astype(np.int32)),
    "Pillow F": Image.fromarray(RAMP),
}


@pytest.mark.parametrize("mask", KINDS.values(), ids=KINDS)
def test_softness_stays_in_every_kind_of_mask(mask):
    alpha = to_alpha(mask, SIZE)
    assert alpha.dtype == np.float32
    assert np.abs(alpha - RAMP).max() < 1 / 200
    assert (alpha[:, -1] == 1).all()
    assert (alpha[:, 0] == 0).all()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint16, np.float64])
def test_a_stencil_of_ones_is_full(dtype):
    stencil = np.zeros((8, 12), dtype)
    stencil[2:5, 3:9] = 1
    assert np.array_equal(to_alpha(stencil, SIZE), stencil.astype(np.float32))


def test_a_box_is_full_inside():
    alpha = to_alpha(Box(3, 2, 6, 3), SIZE)
    assert alpha.sum() == 18
    assert (alpha[2:5, 3:9] == 1).all()


def test_one_level_below_white_is_not_full():
    assert to_alpha(np.full((8, 12), 254, np.uint8), SIZE).max() < 1


def test_speckles_of_compression_are_neither_subject_nor_background():
    rng = np.random.default_rng(0)
    shape = Image.fromarray(np.kron(rng.random((8, 10)) > 0.5, np.ones((16, 16), np.uint8)).astype(np.uint8) * 255)
    file = io.BytesIO()
    shape.save(file, "JPEG", quality=40)
    alpha = to_alpha(Image.open(file), Size(160, 128))
    assert np.array_equal(alpha == 1, np.asarray(shape) == 255)
    assert np.array_equal(alpha == 0, np.asarray(shape) == 0)
    file = io.BytesIO()
    Image.fromarray(np.ones((8, 12), np.uint8)).save(file, "JPEG")
    assert to_alpha(Image.open(file), SIZE).max() == 0


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (RAMP * 255, OutOfRange, "floats reach 255"),
        (np.full((8, 12), 70_000, np.int32), OutOfRange, "70000"),
        (np.full((8, 12), np.nan, np.float32), UnsupportedImage, "NaN"),
        (BYTES[:-1], SizeMismatch, "the mask is 12x7, the image 12x8"),
    ],
)
def test_masks_on_no_scale_are_refused_with_their_numbers(mask, error, words):
    with pytest.raises(error, match=words) as told:
        to_alpha(mask, SIZE)
    assert told.value.hint


def test_softening_works_inward_from_the_edge_and_not_from_the_border():
    hard = np.zeros((9, 20), np.float32)
    hard[:, :10] = 1
    soft = softened(hard, 2)
    assert np.allclose(soft[4], [1] * 8 + [2 / 3, 1 / 3] + [0] * 10)
    assert np.array_equal(softened(hard, 0), hard)
    assert np.array_equal(softened(np.ones_like(hard), 5), np.ones_like(hard))
    assert hard[:, :10].all()
    for reach in (-1, 65, np.nan):
        with pytest.raises(OutOfRange, match="soften is"):
            softened(hard, reach)


# -- colours -----------------------------------------------------------------------------------------------------------


def disc(size: int, edge: float) -> np.ndarray:
    """(size, size) float32: 1 inside, falling over `edge` pixels."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.clip((size * 0.3 - np.hypot(x, y)) / edge + 0.5, 0, 1).astype(np.float32)


def mixed(subject: np.ndarray, behind: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[:, :, None]
    return (share * subject + (1 - share) * behind).astype(np.float32)


@pytest.mark.parametrize("edge", [2, 8, 16])
@pytest.mark.parametrize("size", [40, 97])
def test_flat_colours_are_unmixed_exactly(size, edge):
    alpha = disc(size, edge)
    image = mixed(np.array([0.6, -0.2, -0.7]), np.array([-0.5, 0.4, 0.9]), alpha)
    subject, behind = unmix(image, alpha)
    assert np.abs(subject[alpha > 0] - [0.6, -0.2, -0.7]).max() < 0.01
    assert np.abs(behind[alpha < 1] - [-0.5, 0.4, 0.9]).max() < 0.01


def test_colours_that_vary_are_unmixed_far_better_than_taken_as_they_are():
    y, x = np.mgrid[:80, :80, :3][:2] / 80
    own = (0.5 * np.sin(3 * x) - 0.3 * y).astype(np.float32)
    old = (0.6 * np.cos(4 * y) + 0.2 * x).astype(np.float32)
    alpha = disc(80, 10)
    edge = (alpha > 0) & (alpha < 1)
    subject, _ = unmix(mixed(own, old, alpha), alpha)
    share = alpha[edge][:, None]
    before = np.abs(share * (mixed(own, old, alpha)[edge] - own[edge])).mean()
    after = np.abs(share * (subject[edge] - own[edge])).mean()
    assert after < 0.2 * before


def test_what_is_not_mixed_keeps_its_bits_and_the_image_is_left_alone():
    rng = np.random.default_rng(1)
    image = rng.uniform(-1, 1, (33, 41, 3)).astype(np.float32)
    alpha = np.clip(rng.normal(0.5, 1, (33, 41)), 0, 1).astype(np.float32)
    before = image.copy()
    subject, behind = unmix(image, alpha)
    assert np.array_equal(image, before)
    assert np.array_equal(subject[alpha == 1], image[alpha == 1])
    assert np.array_equal(behind[alpha == 0], image[alpha == 0])
    assert np.abs(subject).max() <= 1


def test_the_solver_is_at_rest_where_the_slow_twin_is(monkeypatch):
    """The energy's exact minimum over the mixed pixels, from a dense linear system."""
    from eraser import mattes

    monkeypatch.setattr(mattes, "COARSE_ROUNDS", 20_000)
    rng = np.random.default_rng(2)
    image = rng.uniform(-0.3, 0.3, (5, 6, 1)).astype(np.float32)
    alpha = np.full((5, 6), 1, np.float32)
    alpha[1:4, 1:5] = rng.uniform(0.3, 0.7, (3, 4))
    alpha[2, 2] = 0
    subject, behind = unmix(image, alpha)
    expected = dense(image[:, :, 0].astype(np.float64), alpha.astype(np.float64))
    edge = (alpha > 0) & (alpha < 1)
    assert np.abs(subject[edge, 0] - expected[0][edge]).max() < 2e-3
    assert np.abs(behind[edge, 0] - expected[1][edge]).max() < 2e-3


def dense(image: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from eraser.mattes import SMOOTH, STEEP

    edge = (alpha > 0) & (alpha < 1)
    number = {place: n for n, place in enumerate(zip(*np.nonzero(edge), strict=True))}
    count = len(number)
    matrix, right = np.zeros((2 * count, 2 * count)), np.zeros(2 * count)
    for (y, x), n in number.items():
        a = alpha[y, x]
        both = np.array([a, 1 - a])
        for i in (0, 1):
            right[n + i * count] += both[i] * image[y, x]
            for j in (0, 1):
                matrix[n + i * count, n + j * count] += both[i] * both[j]
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            place = y + dy, x + dx
            weight = SMOOTH + STEEP * abs(alpha[place] - a)
            for i, has in ((0, alpha[place] > 0), (1, alpha[place] < 1)):
                if not has:
                    continue
                matrix[n + i * count, n + i * count] += weight
                if place in number:
                    matrix[n + i * count, number[place] + i * count] -= weight
                else:
                    right[n + i * count] += weight * image[place]
    solved = np.linalg.solve(matrix, right)
    result = np.zeros((2, *alpha.shape))
    for place, n in number.items():
        result[0][place], result[1][place] = solved[n], solved[n + count]
    return result[0], result[1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (2, 3), (5, 5)])
def test_small_pictures_of_any_alpha_are_unmixed_to_numbers(shape):
    rng = np.random.default_rng(3)
    for level in (0, 0.5, 1):
        subject, behind = unmix(rng.uniform(-1, 1, (*shape, 3)).astype(np.float32), np.full(shape, level, np.float32))
        assert np.isfinite(subject).all()
        assert np.isfinite(behind).all()
