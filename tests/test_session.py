"""Erasing and extending end to end, on small synthetic images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import eraser
from eraser import fillings
from eraser.errors import (
    Cancelled,
    EmptyHole,
    EngineError,
    InputError,
    NothingKnown,
    OutOfRange,
    SizeMismatch,
    UnknownEngine,
)
from eraser.geometry import Box, Size
from eraser.judge import judge
from eraser.margins import margins
from eraser.masks import prepare
from eraser.session import Eraser

HEIGHT, WIDTH = 60, 80
BOX = Box(30, 20, 18, 15)


@pytest.fixture(scope="module")
def session():
    with Eraser() as opened:
        yield opened


def photo(dtype: str = "uint8", channels: int = 3, seed: int = 0) -> np.ndarray:
    """Stripes with grain, in the range of the type; alpha, if any, varies but is nowhere 0."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = 0.5 + 0.3 * np.sin(x / 4 + y / 11)[:, :, None] * rng.uniform(0.5, 1, channels)
    values = np.clip(values + rng.normal(0, 0.04, (HEIGHT, WIDTH, channels)), 0.01, 1)
    full = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    return (values * full).astype(dtype)


def mask_of(*boxes: Box) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for box in boxes:
        mask[box.slices] = True
    return mask


def hole_of(mask, grow="auto") -> np.ndarray:
    return prepare(mask, Size(WIDTH, HEIGHT), grow)


# -- erase -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("grow", ["auto", 0, 4])
def test_pixels_outside_the_grown_hole_keep_their_bits(session, dtype, channels, grow):
    image = photo(dtype, channels)
    before = image.tobytes()
    mask = mask_of(BOX, Box(0, 0, 6, 5))
    result = session.erase(image, mask, grow=grow)
    hole = hole_of(mask, grow)
    assert isinstance(result, np.ndarray)
    assert (result.dtype, result.shape) == (image.dtype, image.shape)
    assert result is not image
    assert image.tobytes() == before
    assert result[~hole].tobytes() == image[~hole].tobytes()
    assert (result[hole][:, :3] != image[hole][:, :3]).any(axis=1).mean() > 0.5
    if channels == 4:
        assert result[:, :, 3].tobytes() == image[:, :, 3].tobytes()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "I;16"])
def test_pillow_images_come_back_in_their_mode_with_their_info(session, mode):
    if mode == "I;16":
        image = Image.fromarray(photo("uint16", 1)[:, :, 0])
    else:
        image = Image.fromarray(photo("uint8", 3)).convert(mode)
    image.info["dpi"] = (300, 300)
    before = image.tobytes()
    result = session.erase(image, BOX)
    assert isinstance(result, Image.Image)
    assert (result.mode, result.size) == (image.mode, image.size)
    assert result.info["dpi"] == (300, 300)
    assert image.tobytes() == before
    assert result.tobytes() != before


def test_paths_come_back_as_photos_that_save(session, tmp_path):
    Image.fromarray(photo()).save(tmp_path / "in.png")
    Image.fromarray(mask_of(BOX)).save(tmp_path / "mask.png")
    result = session.erase(tmp_path / "in.png", str(tmp_path / "mask.png"))
    result.save(tmp_path / "out.png")
    saved = np.asarray(Image.open(tmp_path / "out.png"))
    assert np.array_equal(saved, session.erase(photo(), mask_of(BOX)))


def test_all_kinds_of_mask_mean_the_same_hole(session):
    image = photo()
    mask = mask_of(BOX)
    painted = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    painted[mask] = (255, 0, 0, 255)
    kinds = [
        BOX,
        mask,
        mask.astype(np.uint8),
        mask.astype(np.float32),
        Image.fromarray(mask),
        Image.fromarray(mask.astype(np.uint8) * 255),
        Image.fromarray(painted),
    ]
    first, *others = (session.erase(image, kind).tobytes() for kind in kinds)
    assert all(other == first for other in others)


def test_masks_are_not_changed_by_growing(session):
    mask = mask_of(BOX)
    session.erase(photo(), mask, grow=5)
    assert np.array_equal(mask, mask_of(BOX))


def test_the_same_seed_gives_the_same_bytes_through_every_way_in(session):
    image, mask = photo(), mask_of(BOX)
    first = session.erase(image, mask, seed=5).tobytes()
    assert session.erase(image, mask, seed=np.int64(5)).tobytes() == first
    assert eraser.erase(image, mask, seed=5).tobytes() == first
    assert eraser.erase(image, mask, seed=5, engine="patch").tobytes() == first
    assert eraser.erase(image, mask, seed=6).tobytes() != first


def test_every_far_hole_is_painted(session):
    image = np.full((700, 900, 3), 120, np.uint8)
    image[:, ::2] = 140
    boxes = [Box(3, 2, 8, 9), Box(860, 20, 20, 10), Box(440, 340, 15, 15), Box(5, 680, 12, 20), Box(899, 699, 1, 1)]
    mask = np.zeros(image.shape[:2], bool)
    for box in boxes:
        mask[box.slices] = True
    image[mask] = (255, 0, 0)
    result = session.erase(image, mask, grow=0)
    assert np.array_equal(result[~mask], image[~mask])
    for box in boxes:
        part = result[box.slices].astype(int)
        assert np.abs(part - 130).max() < 40


def test_later_windows_of_a_cut_hole_continue_what_the_earlier_painted(session):
    image = np.full((300, 4200, 3), 100, np.uint8)
    image[150:] = 200
    mask = np.zeros(image.shape[:2], bool)
    mask[140:160, 20:4180] = True
    image[mask] = 0
    result = session.erase(image, mask, grow=0)[mask].reshape(20, -1, 3).astype(int)
    assert result.min() > 60
    # light stays below, dark above, along the whole length
    assert (result[:3].mean(axis=(0, 2)) < 130).mean() > 0.97
    assert (result[-3:].mean(axis=(0, 2)) > 170).mean() > 0.97


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_colour_under_alpha_0_is_never_a_source(session, dtype):
    image = photo(dtype, 4)
    full = image.dtype.type(np.iinfo(dtype).max if image.dtype.kind == "u" else 1)
    image[:, :, 2] = 0  # no blue anywhere but where nobody sees it
    image[:, :, 3] = full
    unseen = mask_of(Box(BOX.right, BOX.y - 8, 25, 30), Box(BOX.x, BOX.bottom, 18, 10))
    image[unseen] = (0, 0, full, 0)
    result = session.erase(image, BOX, grow=0)
    painted = result[BOX.slices]
    assert painted[:, :, 2].max() < 0.05 * full
    assert painted[:, :, 0].mean() > 0.2 * full
    assert np.array_equal(result[unseen], image[unseen])


def test_make_opaque_lets_what_was_painted_be_seen(session):
    image = photo("uint8", 4)
    image[BOX.slices][..., 3] = 0
    kept = session.erase(image, BOX, grow=0)
    seen = session.erase(image, BOX, grow=0, make_opaque=True)
    assert (kept[BOX.slices][..., 3] == 0).all()
    assert (seen[BOX.slices][..., 3] == 255).all()
    assert np.array_equal(seen[~mask_of(BOX)], image[~mask_of(BOX)])


def test_float_images_beyond_one_keep_their_range(session):
    image = photo("float32") * 40 - 10
    result = session.erase(image, BOX)
    painted = result[BOX.slices]
    assert painted.min() >= image.min()
    assert painted.max() <= image.max()
    assert painted.max() > 10


# -- progress and cancelling -----------------------------------------------------------------------------------------


def test_progress_rises_over_all_windows_and_returning_nothing_goes_on(session):
    image = np.zeros((500, 700), np.uint8)
    image[::3] = 200
    mask = np.zeros_like(image, bool)
    mask[5:20, 5:20] = mask[480:495, 670:690] = mask[240:250, 10:30] = True
    fractions = []
    session.erase(image, mask, on_step=lambda step: fractions.append(step.fraction))
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert fractions[0] < 0.1


@pytest.mark.parametrize("after", [1, 7])
def test_returning_false_cancels_within_that_step(session, after):
    calls = []

    def stop(step):
        calls.append(step)
        return len(calls) < after

    image = photo()
    before = image.tobytes()
    with pytest.raises(Cancelled, match="%"):
        session.erase(image, BOX, on_step=stop)
    with pytest.raises(Cancelled):
        session.outpaint(image, left=5, on_step=lambda step: False)
    assert len(calls) == after
    assert image.tobytes() == before


def test_an_error_in_on_step_reaches_the_caller(session):
    def fail(step):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        session.erase(photo(), BOX, on_step=fail)


def test_steps_can_be_iterated_and_return_the_image(session):
    steps = session.erase_steps(photo(), BOX, seed=3)
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            result = finished.value
            break
        count += 1
    assert count > 3
    assert result.tobytes() == session.erase(photo(), BOX, seed=3).tobytes()


# -- outpaint --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
@pytest.mark.parametrize("amount", [1, 17, "20%"])
def test_each_side_grows_alone_and_the_original_stands_inside_bit_for_bit(session, side, amount):
    image = photo()
    before = image.tobytes()
    result = session.outpaint(image, **{side: amount})
    across = side in ("left", "right")
    added = amount if isinstance(amount, int) else round((WIDTH if across else HEIGHT) * 0.2)
    assert result.shape == ((HEIGHT, WIDTH + added, 3) if across else (HEIGHT + added, WIDTH, 3))
    inside = Box(added if side == "left" else 0, added if side == "top" else 0, WIDTH, HEIGHT)
    assert result[inside.slices].tobytes() == before
    assert image.tobytes() == before
    margin = np.ones(result.shape[:2], bool)
    margin[inside.slices] = False
    # what was added looks like the photo, not like black or like garbage
    assert abs(result[margin].mean() - image.mean()) < 40
    if amount != 1:
        assert result[margin].std() > 0.4 * image.std()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_all_sides_at_once_keep_type_and_come_out_opaque(session, dtype):
    image = photo(dtype, 4)
    result = session.outpaint(image, left=5, top="10%", right=3, bottom=9)
    assert result.dtype == image.dtype
    assert result.shape == (HEIGHT + 6 + 9, WIDTH + 5 + 3, 4)
    assert result[6 : 6 + HEIGHT, 5 : 5 + WIDTH].tobytes() == image.tobytes()
    full = np.iinfo(dtype).max if image.dtype.kind == "u" else 1
    margin = np.ones(result.shape[:2], bool)
    margin[6 : 6 + HEIGHT, 5 : 5 + WIDTH] = False
    assert (result[margin][:, 3] == full).all()


def test_pillow_images_and_paths_are_extended_too(session, tmp_path):
    image = Image.fromarray(photo())
    image.save(tmp_path / "in.png")
    result = session.outpaint(image, right=10)
    assert (result.mode, result.size) == ("RGB", (WIDTH + 10, HEIGHT))
    session.outpaint(tmp_path / "in.png", right=10).save(tmp_path / "out.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), np.asarray(result))
    assert eraser.outpaint(image, right=10).tobytes() == result.tobytes()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"left": 5, "bottom": "50%"}, (5, 0, 0, 30)),
        ({"left": "7"}, (7, 0, 0, 0)),
        ({"left": "7px"}, (7, 0, 0, 0)),
        ({"top": "2.5 %"}, (0, 2, 0, 0)),
        ({"right": "400%"}, (0, 0, 320, 0)),
        ({"aspect": "16:9"}, (13, 0, 14, 0)),
        ({"aspect": "1:1"}, (0, 10, 0, 10)),
        ({"aspect": 1}, (0, 10, 0, 10)),
        ({"aspect": "3/2"}, (5, 0, 5, 0)),
        ({"aspect": "2x1"}, (20, 0, 20, 0)),
        ({"aspect": 1.5}, (5, 0, 5, 0)),
        ({"size": (101, 60)}, (10, 0, 11, 0)),
        ({"size": (80, 63)}, (0, 1, 0, 2)),
        ({"size": (90, 70)}, (5, 5, 5, 5)),
        ({"aspect": "4:3"}, (0, 0, 0, 0)),
        ({}, (0, 0, 0, 0)),
    ],
    ids=str,
)
def test_sides_aspects_and_sizes_become_margins(asked, expected):
    sides = margins(Size(80, 60), **asked)
    assert tuple(sides[name] for name in ("left", "top", "right", "bottom")) == expected


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"left": -1}, "-1"),
        ({"left": "-5%"}, "-5%"),
        ({"top": "401%"}, "401%"),
        ({"right": "wide"}, "wide"),
        ({"bottom": ""}, "bottom"),
        ({"left": "5%%"}, "5%%"),
        ({"left": float("nan")}, "nan"),
        ({"left": 12.7}, "12.7"),
        ({"right": "12.7px"}, "12.7"),
        ({"left": None}, "None"),
        ({"aspect": "0:9"}, "0:9"),
        ({"aspect": "16:0"}, "16:0"),
        ({"aspect": "wide"}, "wide"),
        ({"aspect": -1.5}, "-1.5"),
        ({"aspect": "100:1"}, "100:1"),
        ({"size": (79, 60)}, "79x60"),
        ({"size": (80, 59)}, "80x59"),
        ({"size": (70_000, 60)}, "70000x60"),
        ({"left": 66_000}, "66080x60"),
        ({"left": 5, "aspect": "16:9"}, "aspect"),
        ({"size": (90, 70), "aspect": "16:9"}, "size"),
        ({"left": 5, "size": (90, 70)}, "size"),
    ],
    ids=str,
)
def test_margins_out_of_range_are_refused_with_their_numbers(asked, told):
    with pytest.raises(OutOfRange) as refused:
        margins(Size(80, 60), **asked)
    assert told in str(refused.value)
    assert refused.value.hint


def test_extending_by_nothing_is_refused(session):
    with pytest.raises(EmptyHole):
        session.outpaint(photo())
    with pytest.raises(EmptyHole):
        session.outpaint(photo(), aspect="4:3")


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1", None, True, np.float64(3)], ids=repr)
def test_seeds_that_are_no_whole_number_in_range_are_refused(session, seed):
    with pytest.raises(OutOfRange, match="seed"):
        session.erase(photo(), BOX, seed=seed)
    with pytest.raises(OutOfRange, match="seed"):
        session.outpaint(photo(), left=3, seed=seed)


@pytest.mark.parametrize("tries", [0, -1, 17, 1.5, None, True], ids=repr)
def test_numbers_of_tries_out_of_range_are_refused(session, tries):
    with pytest.raises(OutOfRange, match="tries"):
        session.erase(photo(), BOX, tries=tries)
    with pytest.raises(OutOfRange, match="tries"):
        session.outpaint(photo(), left=3, tries=tries)


def test_of_several_tries_the_one_that_fits_best_is_kept(session):
    image = photo()
    hole = prepare(BOX, Size(image.shape[1], image.shape[0]), 4)
    seeds = range(3, 7)
    alone = [session.erase(image, BOX, seed=seed, grow=4) for seed in seeds]
    before, *after = (picture.astype(np.float32) / 127.5 - 1 for picture in (image, *alone))
    ranks = [judge(picture, hole, before).rank for picture in after]
    seen = []
    kept = session.erase(image, BOX, seed=3, tries=4, grow=4, on_step=seen.append)
    chosen = [picture.tobytes() for picture in alone].index(kept.tobytes())
    # the fills are judged before they are rounded to 8 bits, which here decides between the best two
    shows, distance = ranks[chosen]
    assert (shows, distance - 5e-5) <= min(ranks)
    assert max(ranks) > (shows, distance + 5e-4)
    assert [step.fraction for step in seen] == sorted(step.fraction for step in seen)
    kept_note = f"kept seed {3 + chosen}"
    assert {step.note.split(":")[0] for step in seen} == {*(f"try {number} of 4" for number in range(1, 5)), kept_note}


def test_the_largest_seed_is_taken(session):
    largest, next_to_it = (session.erase(photo(), BOX, seed=2**63 - back) for back in (1, 2))
    assert largest.tobytes() != next_to_it.tobytes()


def test_a_prompt_is_refused_by_engines_that_take_none(session):
    assert not session.info.takes_prompt
    with pytest.raises(EngineError, match="prompt"):
        session.erase(photo(), BOX, prompt="a lawn")
    with pytest.raises(EngineError, match="prompt"):
        session.outpaint(photo(), left=4, prompt="")


def test_unknown_engines_are_refused_with_a_list_of_the_known():
    with pytest.raises(UnknownEngine, match="nobody") as refused:
        Eraser("nobody")
    for info in eraser.engines():
        assert info.name in refused.value.hint
    with pytest.raises(UnknownEngine):
        eraser.erase(photo(), BOX, engine="")


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        (np.zeros((HEIGHT, WIDTH), bool), EmptyHole),
        (np.ones((HEIGHT, WIDTH), bool), NothingKnown),
        (np.ones((WIDTH, HEIGHT), bool), SizeMismatch),
        (Box(200, 200, 5, 5), OutOfRange),
    ],
    ids=["empty", "full", "turned", "outside"],
)
def test_masks_that_leave_nothing_to_do_or_to_go_by_are_refused(session, mask, error):
    with pytest.raises(error) as refused:
        session.erase(photo(), mask)
    assert isinstance(refused.value, InputError)
    assert isinstance(refused.value, ValueError)
    assert refused.value.hint


def test_engines_are_listed_and_auto_is_one_of_them():
    names = [info.name for info in eraser.engines()]
    assert "patch" in names
    assert Eraser("auto").info.name in names


def test_the_judge_of_several_tries_sees_what_was_erased_unless_words_or_a_margin_say_otherwise(session, monkeypatch):
    given = []

    def watched(pixels, hole, erased=None):
        given.append(erased)
        return judge(pixels, hole, erased)

    monkeypatch.setattr(fillings, "judge", watched)
    image, reports = photo(), []
    session.erase(image, BOX, seed=3, tries=2, grow=0, on_report=reports.append)
    assert len(given) == 2
    for erased in given:
        assert erased is not None
    attempts = reports[0].to_json()["windows"][0]["attempts"]
    assert [attempt["seed"] for attempt in attempts] == [3, 4]
    assert all({"misfit", "seam", "said"} <= set(attempt) for attempt in attempts)
    given.clear()
    session.outpaint(image, left=12, tries=2)
    assert given == [None, None]
