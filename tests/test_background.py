"""Another background behind a subject: what stays, what the soft edge becomes, whose light it is in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

import eraser
from eraser.canvas import View
from eraser.engines import registry
from eraser.engines.base import EngineInfo, Progress
from eraser.engines.structure import Drawing, carry
from eraser.errors import (
    Cancelled,
    EmptyHole,
    EngineError,
    NothingKnown,
    OutOfRange,
    SizeMismatch,
    UnsupportedImage,
)
from eraser.geometry import Box
from eraser.light import encoded, linear

HEIGHT, WIDTH = 60, 80
INFO = EngineInfo(name="easel", summary="draws a known picture", licence="none", takes_prompt=True)


class Easel:
    """Draws `picture` (H, W, 3) in [-1, 1] at half its size; remembers what it was shown and asked."""

    def __init__(self, info: EngineInfo = INFO) -> None:
        self.info = info
        self.picture = np.full((HEIGHT, WIDTH, 3), 0.25, np.float32)
        self.views: list[View] = []
        self.asked: list[tuple[int, str | None]] = []

    def fill(self, view: View, *, seed: int, prompt: str | None = None) -> Any:
        self.views.append(view)
        self.asked.append((seed, prompt))
        yield Progress(0.0, "an easel is set up")
        drawn = self.picture[::2, ::2] if self.picture.std() else self.picture[:2, :2]
        drawn = drawn[:, :, : view.pixels.shape[2]]
        drawing = Drawing(np.ascontiguousarray(drawn), Box(0, 0, view.size.width, view.size.height))
        return (yield from carry(view, drawing, seed=seed, workers=None))  # type: ignore[arg-type]


@pytest.fixture
def easel(monkeypatch) -> Easel:
    made = Easel()
    entry = registry.Entry(INFO, "tests.test_background:Easel")
    monkeypatch.setitem(registry.ENTRIES, "easel", entry)
    monkeypatch.setattr("eraser.session.registry.load", lambda name: made if name == "easel" else load(name))
    return made


load = registry.load


def replaced(image: Any, subject: Any, **options: Any) -> Any:
    return eraser.replace_background(image, subject, **{"prompt": "a wall", "engine": "easel", "match": 0} | options)


def soft_disc(edge: float = 12) -> np.ndarray:
    """(H, W) float32, in bytes' steps: 1 in the middle, 0 at the border."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    alpha = np.clip((20 - np.hypot(y - 30, x - 40)) / edge + 0.5, 0, 1)
    return np.rint(alpha * 255).astype(np.float32) / 255


SOFT = soft_disc()
FULL, NONE = SOFT == 1, SOFT == 0
EDGE = ~FULL & ~NONE
MASK = np.rint(SOFT * 255).astype(np.uint8)


def photo(dtype: str = "uint8", bands: int = 3) -> np.ndarray:
    rng = np.random.default_rng(4)
    full = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    return (rng.uniform(0.02, 1, (HEIGHT, WIDTH, bands)) * full).astype(dtype)


# -- the subject -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("match", [0, 1])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_the_subject_keeps_its_bits_in_every_depth(easel, dtype, bands, match):
    image = photo(dtype, bands)
    before = image.tobytes()
    result = replaced(image, MASK, match=match)
    assert (result.dtype, result.shape) == (image.dtype, image.shape)
    assert result[FULL].tobytes() == image[FULL].tobytes()
    assert image.tobytes() == before
    assert (result[~FULL] != image[~FULL]).mean() > 0.5


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "YCbCr", "I;16", "F"])
def test_pillow_images_come_back_in_their_mode_with_the_subject_as_it_was(easel, mode):
    image = Image.fromarray(photo("uint16", 1)[:, :, 0]) if mode == "I;16" else Image.fromarray(photo()).convert(mode)
    result = replaced(image, Image.fromarray(MASK))
    assert (result.mode, result.size) == (image.mode, image.size)
    assert np.asarray(result)[FULL].tobytes() == np.asarray(image)[FULL].tobytes()


def test_files_and_boxes_are_taken_too(easel, tmp_path):
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    Image.fromarray(MASK).save(tmp_path / "mask.png")
    from_files = replaced(tmp_path / "photo.png", tmp_path / "mask.png")
    from_files.save(tmp_path / "new.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new.png")), replaced(photo(), MASK))
    box = replaced(photo(), Box(10, 20, 30, 25))
    assert np.array_equal(box[20:45, 10:40], photo()[20:45, 10:40])
    assert (box[:20] == box[0, 0]).all()


def test_a_hole_in_the_subject_is_background(easel):
    """Rings that are drawn round an object to erase it are filled; what shows through a handle must not be."""
    ring = np.zeros((HEIGHT, WIDTH), np.uint8)
    ring[10:50, 20:60] = 255
    ring[20:40, 30:50] = 0
    result = replaced(photo(), ring)
    assert (result[25:35, 35:45] == result[0, 0]).all()


# -- the soft edge -----------------------------------------------------------------------------------------------------

RED, GREEN, GREY = np.array([0.7, -0.3, -0.5]), np.array([-0.4, 0.8, -0.6]), np.array([0.25, 0.25, 0.25])


def levels(values: np.ndarray) -> np.ndarray:
    return np.rint((values + 1) * 127.5).astype(np.uint8)


def composite(alpha: np.ndarray, own: np.ndarray, behind: np.ndarray) -> np.ndarray:
    share = alpha[:, :, None]
    return share * own + (1 - share) * behind


def test_nothing_of_the_old_background_is_left_in_the_soft_edge(easel):
    image, wanted = levels(composite(SOFT, RED, GREEN)), levels(composite(SOFT, RED, GREY))
    result = replaced(image, MASK)
    assert np.abs(result.astype(int) - wanted)[EDGE].max() <= 3
    assert np.abs(result.astype(int) - wanted)[NONE].max() == 0
    naive = levels(composite(SOFT, image / 127.5 - 1, GREY))
    assert np.abs(naive.astype(int) - wanted)[EDGE].max() > 30


def test_sixteen_bits_are_blended_in_sixteen_bits(easel):
    deep = ((composite(SOFT, RED, GREEN) + 1) / 2 * 65535).astype(np.uint16)
    result = replaced(deep, np.rint(SOFT * 65535).astype(np.uint16))
    wanted = (composite(SOFT, RED, GREY) + 1) / 2 * 65535
    assert np.abs(result - wanted)[EDGE].max() < 3 * 257
    assert len(np.unique(result[EDGE])) > 256


def test_a_shadow_that_is_marked_softly_falls_on_the_new_background(easel):
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[10:40, 20:50] = 1
    alpha[40:50, 20:60] = 0.4
    own = np.where((alpha == 1)[:, :, None], RED, -1.0)  # the shadow's own colour is black
    image = levels(composite(alpha, own, GREEN))
    result = replaced(image, alpha)
    wanted = levels(composite(alpha, own, GREY))
    inside = np.zeros_like(FULL)
    inside[43:49, 22:58] = True
    assert np.abs(result.astype(int) - wanted)[inside].mean() < 12
    assert (result[inside] < levels(GREY)).all()


def test_a_hard_mask_is_softened_inward_when_asked(easel):
    hard = np.where(SOFT >= 0.5, 255, 0).astype(np.uint8)
    image = levels(composite(SOFT, RED, GREEN))
    rim = (SOFT >= 0.5) & ~FULL
    assert np.array_equal(replaced(image, hard)[rim], image[rim])
    easel.picture = np.full((HEIGHT, WIDTH, 3), -0.8, np.float32)
    soft = replaced(image, hard, soften=6)
    # nothing is as green as the old background now: neither the subject nor the new one
    green = [np.clip((picture[rim] / 127.5 - 1)[:, 1] - RED[1], 0, 2).mean() for picture in (image, soft)]
    assert green[0] > 0.2
    assert green[1] < 0.2 * green[0]
    deep = np.zeros_like(FULL)
    deep[25:35, 35:45] = True
    assert np.array_equal(soft[deep], image[deep])


def test_a_cut_out_keeps_its_own_colours_and_becomes_opaque(easel):
    own = photo()
    cut = np.dstack([own, MASK])
    cut[NONE, :3] = 0
    result = replaced(cut, cut)
    assert (result[:, :, 3] == 255).all()
    assert np.abs(result[:, :, :3].astype(int) - levels(composite(SOFT, own / 127.5 - 1, GREY))).max() <= 1


def test_numbers_that_are_not_finite_behind_the_subject_do_no_harm(easel):
    image = ((composite(SOFT, RED, GREEN) + 1) / 2).astype(np.float32)
    image[:5], image[30, 8:15] = np.nan, np.inf
    result = replaced(image, SOFT, match=1)
    assert np.isfinite(result).all()


# -- light -------------------------------------------------------------------------------------------------------------


def blocks() -> np.ndarray:
    rng = np.random.default_rng(6)
    small = rng.uniform(0.05, 0.5, (HEIGHT // 6, WIDTH // 8, 1)) * rng.uniform(0.8, 1.2, (HEIGHT // 6, WIDTH // 8, 3))
    return encoded(np.kron(small, np.ones((6, 8, 1))).astype(np.float32))


def test_a_cast_that_a_drawing_has_makes_no_difference_when_light_is_matched(easel):
    old = blocks()
    image = levels(composite(SOFT, np.full(3, -0.2), old))
    cast = np.array([0.15, 0.0, -0.15], np.float32)
    away = []
    for match in (0, 1):
        shown = []
        for stops in (0 * cast, cast):
            easel.picture = encoded(linear(old) * np.exp2(stops))
            shown.append(linear(replaced(image, MASK, match=match)[NONE] / 127.5 - 1))
        away.append(np.median(np.log2(shown[1] / shown[0]), axis=0))
    assert np.allclose(away[0], cast, atol=0.02)
    assert np.allclose(away[1], 0, atol=0.02)


def test_light_is_left_as_drawn_when_asked(easel):
    easel.picture = blocks()
    assert not np.array_equal(replaced(photo(), MASK, match=1), replaced(photo(), MASK, match=0))
    flat = np.full((HEIGHT, WIDTH, 3), 0.25, np.float32)
    easel.picture = flat
    assert np.array_equal(replaced(photo(), MASK)[NONE], levels(flat)[NONE])


# -- what the engine is shown ------------------------------------------------------------------------------------------


def test_the_engine_sees_the_subject_alone_and_lends_it_no_texture(easel):
    image = photo()
    replaced(image, MASK, seed=7, prompt="a red wall")
    (view,) = easel.views
    assert np.array_equal(view.hole, ~FULL)
    assert (view.pixels[~FULL] == 0).all()
    assert np.allclose(view.pixels[FULL], image[FULL] / 127.5 - 1, atol=1e-6)
    assert not view.lends_texture
    assert easel.asked == [(7, "a red wall")]


def test_no_texture_of_the_subject_comes_into_the_background(easel):
    """With the photo's texture an engine's flat drawing gets grain; here it must stay flat."""
    grainy = photo()
    assert len(np.unique(replaced(grainy, MASK)[NONE], axis=0)) == 1


def test_progress_rises_to_one_and_cancelling_is_heard(easel):
    seen: list[Progress] = []
    replaced(photo(), MASK, on_step=seen.append)
    fractions = [step.fraction for step in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    with pytest.raises(Cancelled):
        replaced(photo(), MASK, on_step=lambda step: False)


def test_the_report_says_what_was_asked(easel):
    reports: list[Any] = []
    replaced(photo(), MASK, seed=3, match=0.25, soften=1, on_report=reports.append)
    said = reports[0].to_json()
    assert (said["mode"], said["engine"], said["prompt"], said["seed"]) == ("background", "easel", "a wall", 3)
    assert said["options"] == {"match": 0.25, "soften": 1}
    assert said["hole_pixels"] > np.count_nonzero(~FULL)


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "subject", "error", "words"),
    [
        (photo(), np.zeros((HEIGHT, WIDTH), np.uint8), NothingKnown, "marks none of the image's 4800 pixels"),
        (photo(), np.full((HEIGHT, WIDTH), 99, np.uint8), NothingKnown, "no pixel in full, the strongest of 4800 by 3"),
        (photo(), np.full((HEIGHT, WIDTH), 255, np.uint8), EmptyHole, "marks all of the image's 4800 pixels"),
        (photo(), MASK[:-1], SizeMismatch, "the mask is 80x59, the image 80x60"),
        (Image.fromarray(photo()).convert("CMYK"), MASK, UnsupportedImage, "is CMYK"),
        (Image.fromarray(photo()).convert("P"), MASK, UnsupportedImage, "drawn with a palette"),
        (Image.fromarray(photo()).convert("1"), MASK, UnsupportedImage, "black and white"),
        (np.dstack([photo(), np.where(FULL, 0, 255)]).astype(np.uint8), MASK, NothingKnown, "are transparent"),
    ],
)
def test_what_cannot_get_a_new_background_is_said_in_a_sentence(easel, image, subject, error, words):
    with pytest.raises(error, match=words) as told:
        replaced(image, subject)
    assert told.value.hint
    assert not easel.views, "found out before anything is drawn"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": "  "}, "the prompt says nothing"),
        ({"prompt": None}, "the prompt says nothing"),
        ({"match": 1.5}, "match is 1.5"),
        ({"match": float("nan")}, "match is nan"),
        ({"soften": 99}, "soften is 99"),
        ({"seed": -1}, "the seed is -1"),
    ],
)
def test_numbers_and_words_out_of_range_are_refused(easel, options, words):
    with pytest.raises(OutOfRange, match=words):
        replaced(photo(), MASK, **options)


def test_an_engine_that_continues_what_is_known_is_refused_and_told_why():
    with pytest.raises(EngineError, match='"patch" continues what is known, and behind a subject nothing is') as told:
        eraser.replace_background(photo(), MASK, prompt="a wall")
    assert "latent:" in told.value.hint


# -- a real pipeline ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
    pytest.importorskip("transformers", reason="the diffusion extra is not installed")
    from tests import miniature_pipelines

    folder = tmp_path_factory.mktemp("checkpoints")
    return f"latent:{miniature_pipelines.stable_diffusion(folder / 'inpainting')}?steps=2"


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_diffusion_pipeline_draws_behind_the_subject_by_its_words_and_seed(checkpoint):
    image = photo("uint16")[:51, :77]

    def new(**options: Any) -> np.ndarray:
        asked = {"prompt": "a wall", "engine": checkpoint} | options
        return eraser.replace_background(image, MASK[:51, :77], **asked)

    full = FULL[:51, :77]
    first = new()
    assert np.array_equal(first[full], image[full])
    assert np.array_equal(new(), first)
    for other in (new(seed=1), new(prompt="the sea at night"), new(match=0)):
        assert np.array_equal(other[full], image[full])
        assert not np.array_equal(other[~full], first[~full])
