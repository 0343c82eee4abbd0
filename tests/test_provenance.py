"""Files say that their picture was edited, and how; their pixels and whatever else they say stay as they are."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eraser
from eraser.engines import registry
from eraser.engines.base import EngineInfo, Progress
from eraser.files import FORMATS, LossWarning, Metadata, Photo, read, write
from eraser.geometry import Box
from eraser.layouts import Layout
from eraser.provenance import DIGITAL_SOURCE_TYPE, PATCHES, TERMS, TRAINED
from eraser.xmp import values, with_value

TITLE = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="kept"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
BOX = Box(8, 8, 6, 5)


def pixels(height: int = 30, width: int = 40, dtype: str = "uint8") -> np.ndarray:
    values = np.random.default_rng(3).random((height, width, 3))
    return (values * np.iinfo(dtype).max).astype(dtype)


def said(path: Path) -> list[str]:
    return values(read(path).metadata.xmp, DIGITAL_SOURCE_TYPE)


@pytest.mark.parametrize("xmp", [b"", TITLE], ids=["no XMP", "XMP"])
@pytest.mark.parametrize(("ending", "dtype"), [
    ("jpg", "uint8"), ("png", "uint8"), ("png", "uint16"), ("tif", "uint8"), ("tif", "uint16"), ("webp", "uint8"),
    ("avif", "uint8"),
])  # fmt: skip
def test_every_kind_that_holds_xmp_says_it_and_the_pixels_are_the_same(
    tmp_path: Path, ending: str, dtype: str, xmp: bytes
) -> None:
    photo = Photo(pixels(dtype=dtype), Layout(3), metadata=Metadata(xmp=xmp))
    marked = photo.with_source_type(PATCHES)
    marked.save(tmp_path / f"a.{ending}")
    marked.save(tmp_path / f"b.{ending}", provenance=False)
    photo.save(tmp_path / f"c.{ending}")
    assert said(tmp_path / f"a.{ending}") == [PATCHES]
    assert said(tmp_path / f"b.{ending}") == []
    assert (tmp_path / f"b.{ending}").read_bytes() == (tmp_path / f"c.{ending}").read_bytes()
    assert np.array_equal(read(tmp_path / f"a.{ending}").pixels, read(tmp_path / f"c.{ending}").pixels)
    if ending in ("png", "tif"):
        assert np.array_equal(read(tmp_path / f"a.{ending}").pixels, photo.pixels)
    if xmp:
        assert b'dc:format="kept"' in read(tmp_path / f"a.{ending}").metadata.xmp
    # once more through the file: nothing is said twice
    read(tmp_path / f"a.{ending}").with_source_type(PATCHES).save(tmp_path / f"d.{ending}")
    assert said(tmp_path / f"d.{ending}") == [PATCHES]


@pytest.mark.parametrize("ending", sorted(set(FORMATS) - {".jpg", ".png", ".tif", ".webp", ".avif"}))
def test_other_endings_say_it_where_their_kind_can_and_are_written_without_a_word_where_not(
    tmp_path: Path, ending: str
) -> None:
    holds_xmp = FORMATS[ending] in ("JPEG", "TIFF")
    metadata = Metadata(xmp=TITLE if holds_xmp else TITLE[:-30])  # damaged: nobody looks at it
    grey = Photo(pixels()[:, :, 0], Layout(1), metadata=metadata, source_type=PATCHES)
    grey.save(tmp_path / f"a{ending}")  # a warning would fail the test
    assert said(tmp_path / f"a{ending}") == ([PATCHES] if holds_xmp else [])


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_damaged_xmp_stays_as_it_is_and_a_warning_says_so(tmp_path: Path, ending: str) -> None:
    damaged = TITLE[:-30]
    photo = Photo(pixels(), Layout(3), metadata=Metadata(xmp=damaged), source_type=PATCHES)
    with pytest.warns(LossWarning, match="does not say how it was edited: its XMP is left as it is"):
        photo.save(tmp_path / f"a.{ending}")
    assert read(tmp_path / f"a.{ending}").metadata.xmp == damaged


def test_xmp_that_fills_its_jpeg_segment_is_kept_rather_than_dropped(tmp_path: Path) -> None:
    full = TITLE + b" " * (65504 - len(TITLE))
    photo = Photo(pixels(), Layout(3), metadata=Metadata(xmp=full), source_type=PATCHES)
    with pytest.warns(LossWarning, match="JPEG has room for 65504 bytes"):
        photo.save(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").metadata.xmp == full


def test_what_the_photo_said_before_is_not_weakened(tmp_path: Path) -> None:
    stronger = with_value(TITLE, DIGITAL_SOURCE_TYPE, TERMS + "trainedAlgorithmicMedia")
    photo = Photo(pixels(), Layout(3), metadata=Metadata(xmp=stronger), source_type=TRAINED)
    photo.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").metadata.xmp == stronger


# -- results ---------------------------------------------------------------------------------------------------------


class Painter:
    """Paints grey; says of itself and of each filling what it is told to say."""

    def __init__(self, weights: str, facts: dict[str, object]) -> None:
        self.info = EngineInfo("painter", "paints grey", "MIT", weights=weights)
        self._facts = facts

    def fill(self, view, *, seed, prompt=None):
        yield Progress(0.5, "painting", facts=self._facts)
        return np.zeros(view.pixels.shape, np.float32)


@pytest.fixture
def painter(monkeypatch):
    """painter(weights, facts): the engine "painter" is one like that."""

    def make(weights: str = "", facts: dict[str, object] | None = None) -> eraser.Eraser:
        monkeypatch.setattr(registry, "load", lambda name: Painter(weights, facts or {}))
        return eraser.Eraser("painter")

    return make


def test_results_of_photos_carry_what_was_done_to_every_writer(tmp_path: Path, painter) -> None:
    write(Photo(pixels(), Layout(3)), tmp_path / "a.png")
    for session, term in (
        (eraser.Eraser(), PATCHES),
        (painter("a model, 1 MB"), TRAINED),
        (painter("a model, 1 MB", {"painted_by": "patch", "fallback": "it is too thin"}), PATCHES),
    ):
        for number, result in enumerate((
            session.erase(tmp_path / "a.png", BOX),
            session.erase(str(tmp_path / "a.png"), BOX),
            session.erase(read(tmp_path / "a.png"), BOX),
            session.outpaint(tmp_path / "a.png", left=4),
        )):  # fmt: skip
            assert result.source_type == term
            write(result, tmp_path / f"{number}.png", force=True)
            assert said(tmp_path / f"{number}.png") == [term]


def test_a_photo_edited_twice_says_the_stronger(painter) -> None:
    photo = Photo(pixels(), Layout(3))
    once = painter("a model, 1 MB").erase(photo, BOX)
    assert eraser.Eraser().erase(once, BOX).source_type == TRAINED
    assert painter("a model, 1 MB").erase(eraser.Eraser().erase(photo, BOX), BOX).source_type == TRAINED
    assert photo.source_type == ""


def test_one_window_that_a_model_drew_makes_the_whole_trained(painter) -> None:
    large = np.full((600, 900, 3), 99, np.uint8)
    mask = np.zeros(large.shape[:2], bool)
    mask[5:10, 5:10] = mask[580:585, 880:885] = True
    photo = Photo(large, Layout(3))

    class Half(Painter):
        calls = 0

        def fill(self, view, *, seed, prompt=None):
            self.calls += 1
            self._facts = {"painted_by": "patch", "fallback": "thin"} if self.calls == 1 else {}
            return (yield from super().fill(view, seed=seed))

    session = painter("a model, 1 MB")
    session._engine = half = Half("a model, 1 MB", {})
    result = session.erase(photo, mask)
    assert half.calls == 2
    assert result.source_type == TRAINED


def test_images_that_are_no_photos_come_back_as_they_are(tmp_path: Path) -> None:
    image = Image.fromarray(pixels())
    image.info["dpi"] = (72, 72)
    assert eraser.erase(image, BOX).info == {"dpi": (72, 72)}


def test_saying_it_costs_nothing_in_pixels_or_other_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    have = Metadata(exif=exif.tobytes()[6:], xmp=TITLE, dpi=(240, 240), comments=(b"words",))
    photo = Photo(pixels(), Layout(3), metadata=have)
    for ending in ("jpg", "png", "tif", "webp"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            photo.save(tmp_path / f"plain.{ending}")
            photo.with_source_type(PATCHES).save(tmp_path / f"marked.{ending}")
        plain, marked = (read(tmp_path / f"{name}.{ending}").metadata for name in ("plain", "marked"))
        assert with_value(plain.xmp, DIGITAL_SOURCE_TYPE, PATCHES) == marked.xmp
        if ending == "png":
            marked = replace(marked, chunks=tuple(one for one in marked.chunks if one[0] != b"iTXt"))
            plain = replace(plain, chunks=tuple(one for one in plain.chunks if one[0] != b"iTXt"))
        if ending == "tif":
            del plain.tags.tags[700], marked.tags.tags[700]
        assert replace(plain, xmp=b"") == replace(marked, xmp=b"")
