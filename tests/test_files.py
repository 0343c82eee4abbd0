"""Files come back with their pixels, depth and everything they carry, or not at all."""

from __future__ import annotations

import errno
import os
import stat
import struct
import subprocess
import sys
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin

from eraser import exif, files, metadata
from eraser.errors import DamagedImage, InputError, OutputError, OutputExists, UnsupportedImage
from eraser.files import LossWarning, Photo, probe, read, write, writing
from eraser.geometry import Size
from eraser.layouts import Layout

XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" tiff:Orientation="6" dc:format="kept"/></rdf:RDF></x:xmpmeta>'
)
MAKER_NOTE = bytes(range(200)) * 3


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def smooth(height: int, width: int, bands: int = 3) -> np.ndarray:
    """A picture that survives a lossy codec recognisably and is not symmetric."""
    y, x = np.mgrid[:height, :width]
    parts = [(x * 200 // width + band * 20 + (y < height // 3) * 30) % 256 for band in range(bands)]
    return np.stack(parts, axis=2).astype(np.uint8)


def exif_block(orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    """An EXIF block laid out as cameras do: main directory, EXIF directory with a maker note, thumbnail at the end."""
    make = b"Maker of cameras\0"
    main_at, entries = 8, 4
    exif_at = main_at + 2 + 12 * entries + 4
    note_at = exif_at + 2 + 12 * 3 + 4
    make_at = note_at + len(MAKER_NOTE)
    second_at = make_at + len(make) + len(make) % 2
    thumbnail_at = second_at + 2 + 12 * 2 + 4
    block = struct.pack(">2sHI", b"MM", 42, main_at) + struct.pack(">H", entries)
    block += struct.pack(">HHII", 0x010F, 2, len(make), make_at)
    block += struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    block += struct.pack(">HHIHH", 0x0128, 3, 1, 2, 0)
    block += struct.pack(">HHII", 0x8769, 4, 1, exif_at) + struct.pack(">I", second_at if thumbnail else 0)
    block += struct.pack(">H", 3) + struct.pack(">HHII", 0x927C, 7, len(MAKER_NOTE), note_at)
    block += struct.pack(">HHIHH", 0xA002, 3, 1, 64, 0) + struct.pack(">HHII", 0xA003, 4, 1, 48) + b"\0" * 4
    block += MAKER_NOTE + make + b"\0" * (len(make) % 2)
    if thumbnail:
        block += struct.pack(">H", 2) + struct.pack(">HHII", 0x0201, 4, 1, thumbnail_at)
        block += struct.pack(">HHII", 0x0202, 4, 1, len(thumbnail)) + b"\0" * 4 + thumbnail
    return block


@cache  # made anew, it would carry another time
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def opened(path: Path) -> Image.Image:
    """Pillow's image with all that it read, its file closed."""
    with Image.open(path) as image:
        image.load()
        return image


def leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(".")]


# pixels


def test_a_photo_is_shown_in_a_few_words(tmp_path):
    Image.fromarray(smooth(30, 40)).save(tmp_path / "a.png")
    assert repr(read(tmp_path / "a.png")) == "<Photo 40x30, 3 of uint8, PNG>"
    assert repr(Photo(np.zeros((2, 3), np.uint16), Layout(1))) == "<Photo 3x2, 1 of uint16>"


@pytest.mark.parametrize(
    ("ending", "dtype", "bands"),
    [
        (ending, dtype, bands)
        for ending, types in (("png", ["uint8", "uint16"]), ("tif", ["uint8", "uint16", "float32"]))
        for dtype in types
        for bands in (0, 2, 3, 4)
    ]
    + [("png", "bool", 0), ("tif", "bool", 0)],
)
def test_lossless_files_give_back_every_bit(tmp_path, rng, ending, dtype, bands):
    shape = (23, 31, bands) if bands else (23, 31)
    values = rng.random(shape)
    pixels = values < 0.5 if dtype == "bool" else (values * (1 if dtype[0] == "f" else 2**16)).astype(dtype)
    layout = Layout({0: 1, 2: 1, 3: 3, 4: 3}[bands], has_alpha=bands in (2, 4))
    path = tmp_path / f"a.{ending}"
    write(Photo(pixels, layout), path)
    again = read(path)
    assert again.pixels.dtype == pixels.dtype
    assert np.array_equal(again.pixels, pixels)
    assert (again.layout.colours, again.layout.has_alpha) == (layout.colours, layout.has_alpha)
    facts = probe(path)
    assert facts.size == again.size == Size(31, 23)
    assert facts.bits == (1 if dtype == "bool" else pixels.dtype.itemsize * 8)
    again.save(path, force=True)
    assert np.array_equal(read(path).pixels, pixels)


@pytest.mark.parametrize(("mode", "ending"), [("CMYK", "tif"), ("L", "webp"), ("RGB", "webp"), ("RGBA", "webp")])
def test_lossless_pillow_files_keep_pixels(tmp_path, rng, mode, ending):
    shape = (20, 30, len(mode)) if mode != "L" else (20, 30)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    image = Image.fromarray(pixels) if mode != "CMYK" else Image.frombytes("CMYK", (30, 20), pixels.tobytes())
    image.save(tmp_path / f"a.{ending}", **({"lossless": True, "exact": True} if ending == "webp" else {}))
    photo = read(tmp_path / f"a.{ending}")
    assert photo.lossless
    photo.save(tmp_path / f"b.{ending}")
    assert np.array_equal(read(tmp_path / f"b.{ending}").pixels, photo.pixels)
    assert np.array_equal(photo.pixels.reshape(20, 30, -1)[:, :, : len(mode)], pixels.reshape(20, 30, -1))


@pytest.mark.parametrize("ending", ["gif", "png", "tif", "bmp"])
def test_palettes_and_indices_survive(tmp_path, rng, ending):
    indices = rng.integers(0, 200, (20, 30)).astype(np.uint8)
    image = Image.frombytes("P", (30, 20), indices.tobytes())
    image.putpalette(rng.integers(0, 256, 600).astype(np.uint8).tobytes())
    image.save(tmp_path / f"a.{ending}")
    photo = read(tmp_path / f"a.{ending}")
    photo.save(tmp_path / f"b.{ending}")
    before, after = opened(tmp_path / f"a.{ending}"), opened(tmp_path / f"b.{ending}")
    assert before.mode == after.mode == "P"
    assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()


@pytest.mark.parametrize("compression", ["raw", "group3", "group4", "tiff_lzw", "packbits"])
@pytest.mark.parametrize("white", [0, 1])
def test_one_bit_tiff_looks_the_same_whatever_zero_means(tmp_path, rng, compression, white):
    image = Image.fromarray(rng.random((20, 37)) < 0.4)
    image.save(tmp_path / "a.tif", compression=compression, tiffinfo={262: white})
    photo = read(tmp_path / "a.tif")
    assert photo.pixels.dtype == np.bool_
    assert np.array_equal(photo.pixels, np.asarray(opened(tmp_path / "a.tif")))
    photo.save(tmp_path / "b.tif")
    assert np.array_equal(np.asarray(opened(tmp_path / "b.tif")), photo.pixels)
    assert probe(tmp_path / "b.tif").mode == "1"


@pytest.mark.parametrize("bits", [2, 4])
def test_tiff_palettes_of_few_bits_keep_their_indices(tmp_path, rng, bits):
    import pyvips

    indices = rng.integers(0, 2**bits, (20, 32)).astype(np.uint8)
    levels = indices * np.uint8(255 // (2**bits - 1))
    pyvips.Image.new_from_array(levels).tiffsave(str(tmp_path / "a.tif"), bitdepth=bits)
    colours = rng.integers(0, 256, (3, 2**bits)).astype("<u2")
    tags = {262: exif.Tag(3, 1, b"\3\0"), 320: exif.Tag(3, colours.size, (colours * 257).tobytes())}
    with (tmp_path / "a.tif").open("r+b") as file:
        exif.add_tags(file, exif.Directory(tags))
    photo = read(tmp_path / "a.tif")
    assert np.array_equal(photo.pixels, indices)
    assert np.array_equal(photo.layout.palette[:, :3], colours.T)
    photo.save(tmp_path / "b.tif")
    assert np.array_equal(np.asarray(opened(tmp_path / "b.tif").convert("RGB")), colours.T[indices])


@pytest.mark.parametrize("transparency", [5, bytes([0, 128, 255, 7])])
def test_palette_transparency_survives(tmp_path, rng, transparency):
    image = Image.frombytes("P", (30, 20), rng.integers(0, 8, (20, 30)).astype(np.uint8).tobytes())
    image.putpalette(rng.integers(0, 256, 24).astype(np.uint8).tobytes())
    image.save(tmp_path / "a.png", transparency=transparency)
    read(tmp_path / "a.png").save(tmp_path / "b.png")
    before, after = (opened(tmp_path / name).convert("RGBA") for name in ("a.png", "b.png"))
    assert before.tobytes() == after.tobytes()
    read(tmp_path / "a.png").save(tmp_path / "c.webp")
    assert opened(tmp_path / "c.webp").convert("RGBA").getchannel("A").tobytes() == before.getchannel("A").tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff_of_either_byte_order(tmp_path, rng, order):
    tifffile = pytest.importorskip("tifffile")

    pixels = rng.integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=order, photometric="rgb", resolution=(300, 300))
    photo = read(tmp_path / "a.tif")
    assert np.array_equal(photo.pixels, pixels)
    photo.save(tmp_path / "b.tif")
    assert np.array_equal(read(tmp_path / "b.tif").pixels, pixels)
    assert read(tmp_path / "b.tif").metadata.dpi == pytest.approx((300, 300))


# what is carried


def jpeg_with_everything(path: Path, orientation: int = 1, **options: object) -> None:
    photoshop = b"8BIM" + struct.pack(">HHI", 0x040C, 0, 5) + b"thumb\0"
    photoshop += b"8BIM" + struct.pack(">HHI", 0x0404, 0, 4) + b"iptc"
    extra = b"\xff\xed" + struct.pack(">H", 2 + 14 + len(photoshop)) + b"Photoshop 3.0\0" + photoshop
    extra += b"\xff\xea" + struct.pack(">H", 7) + b"mine!"
    options = {"quality": 83, "subsampling": 1} | options
    Image.fromarray(smooth(48, 64)).save(
        path, exif=b"Exif\0\0" + exif_block(orientation, b"\xff\xd8 shows the object \xff\xd9"), xmp=XMP,
        icc_profile=profile(), dpi=(300, 300), comment=b"a comment", extra=extra, **options,
    )  # fmt: skip


def test_jpeg_to_jpeg_keeps_all_but_previews(tmp_path):
    path = tmp_path / "a.jpg"
    jpeg_with_everything(path, progressive=True)
    read(path).save(tmp_path / "b.jpg")
    before, after = opened(path), opened(tmp_path / "b.jpg")
    assert after.quantization == before.quantization
    assert JpegImagePlugin.get_sampling(after) == JpegImagePlugin.get_sampling(before) == 1
    assert after.info["progressive"]
    assert after.info["icc_profile"] == profile()
    assert after.info["dpi"] == (300, 300)
    assert after.info["comment"] == b"a comment"
    assert b'dc:format="kept"' in after.info["xmp"]
    raw = (tmp_path / "b.jpg").read_bytes()
    assert MAKER_NOTE in raw
    assert b"mine!" in raw
    assert b"iptc" in raw
    assert b"shows the object" not in raw
    assert b"thumb" not in raw


def test_jpeg_is_encoded_from_identical_pixels(tmp_path):
    jpeg_with_everything(tmp_path / "a.jpg")
    photo = read(tmp_path / "a.jpg")
    photo.save(tmp_path / "b.jpg")
    options = {"qtables": photo.settings["qtables"], "subsampling": 1}
    Image.fromarray(photo.pixels).save(tmp_path / "c.jpg", **options)
    # a second generation with the same tables moves pixels by rounding only
    away = np.abs(read(tmp_path / "b.jpg").pixels.astype(int) - photo.pixels)
    assert np.array_equal(read(tmp_path / "b.jpg").pixels, read(tmp_path / "c.jpg").pixels)
    assert away.mean() < 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_orientation_is_applied_and_the_tag_set_to_upright(tmp_path, orientation, ending):
    path, copy = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    image = Image.fromarray(smooth(48, 64))
    if ending == "jpg":
        jpeg_with_everything(path, orientation, quality=100, subsampling=0)
    elif ending == "tif":
        image.save(path, tiffinfo={0x0112: orientation})
    else:
        block = Image.Exif()
        block[0x0112] = orientation
        image.save(path, exif=block, **({"lossless": True} if ending == "webp" else {}))
    photo = read(path)
    turned = Image.fromarray(smooth(48, 64))
    turned.getexif()[0x0112] = orientation
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(turned))
    assert photo.pixels.shape == expected.shape
    assert np.abs(photo.pixels.astype(int) - expected).max() <= (6 if ending == "jpg" else 0)
    assert probe(path).size == photo.size
    photo.save(copy)
    again = opened(copy)
    assert again.getexif().get(0x0112, 1) == 1
    assert again.size == (photo.size.width, photo.size.height)
    assert np.abs(read(copy).pixels.astype(int) - expected).max() <= (12 if ending == "jpg" else 0)
    if ending == "jpg":
        assert b'tiff:Orientation="1"' in again.info["xmp"]
        inner = again.getexif().get_ifd(0x8769)
        assert (inner[0xA002], inner[0xA003]) == again.size


def test_png_keeps_texts_and_every_other_chunk(tmp_path, rng):
    for name, pixels in (("deep", (rng.random((9, 8, 3)) * 65535).astype(np.uint16)), ("flat", smooth(9, 8))):
        path = tmp_path / f"{name}.png"
        write(Photo(pixels, Layout(3)), tmp_path / "bare.png", force=True)
        chunks = [
            (b"iCCP", b"mine\0\0" + zlib.compress(profile())),
            (b"gAMA", struct.pack(">I", 45455)),
            (b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
            (b"tEXt", b"Author\0somebody"),
            (b"zTXt", b"Long\0\0" + zlib.compress(b"words")),
            (b"iTXt", metadata.XMP_KEYWORD + b"\0\0\0\0\0" + XMP),
            (b"eXIf", exif_block(1)),
            (b"prVt", b"private"),
        ]
        with (tmp_path / "bare.png").open("rb") as source, path.open("wb") as target:
            metadata.insert_png_chunks(source, target, chunks)
        photo = read(path)
        photo.save(tmp_path / f"{name}-again.png")
        with (tmp_path / f"{name}-again.png").open("rb") as file:
            again = {key: content for key, content in metadata.read_png_chunks(file) if key[:1].islower()}
        expected = dict(chunks)
        expected[b"iTXt"] = expected[b"iTXt"].replace(b'Orientation="6"', b'Orientation="1"')
        expected[b"eXIf"] = exif.upright(expected[b"eXIf"], Size(8, 9))
        assert again == expected
        with Image.open(tmp_path / f"{name}-again.png") as image:
            image.load()
            assert image.text["Author"] == "somebody"


def test_tiff_keeps_tags_exif_profile_xmp_compression(tmp_path, rng):
    tifffile = pytest.importorskip("tifffile")

    pixels = (rng.random((20, 30, 3)) * 65535).astype(np.uint16)
    write(Photo(pixels, Layout(3), metadata=files.Metadata(exif=exif_block(1), xmp=XMP, icc=profile(), dpi=(240, 240))),
          tmp_path / "a.tif")  # fmt: skip
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].compression.name == "ADOBE_DEFLATE"
    photo = read(tmp_path / "a.tif")
    changed = Photo(photo.pixels, photo.layout, "TIFF", True, photo.metadata, {"compression": 5, "predictor": 2})
    changed.save(tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        page = file.pages[0]
        assert page.compression.name == "LZW"
        assert page.tags["Make"].value == "Maker of cameras"
        assert page.tags["InterColorProfile"].value == profile()
        assert b'dc:format="kept"' in page.tags["XMP"].value
        assert page.tags["ExifTag"].value["MakerNote"] == MAKER_NOTE
        assert page.tags["XResolution"].value[0] / page.tags["XResolution"].value[1] == 240
        assert len(file.pages) == 1
    assert np.array_equal(read(tmp_path / "b.tif").pixels, pixels)


@pytest.mark.parametrize("first", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("second", ["jpg", "png", "tif", "webp"])
def test_profile_exif_and_xmp_go_from_any_kind_to_any(tmp_path, first, second):
    photo = Photo(smooth(48, 64), Layout(3), metadata=files.Metadata(exif=exif_block(6), xmp=XMP, icc=profile()))
    photo.save(tmp_path / f"a.{first}")
    read(tmp_path / f"a.{first}").save(tmp_path / f"b.{second}")
    again = read(tmp_path / f"b.{second}")
    block = again.metadata.exif or exif.directory_to_block(again.metadata.tags)
    tags = exif.block_to_directory(block)
    assert tags.tags[0x010F].data == b"Maker of cameras\0"
    assert tags.tags[0x8769].inner.tags[0x927C].data == MAKER_NOTE
    assert exif.orientation(block) == 1
    assert again.metadata.icc == profile()
    assert b'dc:format="kept"' in again.metadata.xmp
    assert again.size == Size(64, 48)


def test_webp_stays_lossy_or_lossless(tmp_path):
    image = Image.fromarray(smooth(48, 64))
    image.save(tmp_path / "a.webp", quality=60)
    image.save(tmp_path / "b.webp", lossless=True)
    for name, lossless in (("a", False), ("b", True)):
        photo = read(tmp_path / f"{name}.webp")
        assert photo.lossless is lossless
        photo.save(tmp_path / f"{name}2.webp")
        assert read(tmp_path / f"{name}2.webp").lossless is lossless


def test_adobe_cmyk_jpeg_keeps_its_inks(tmp_path):
    image = Image.frombytes("CMYK", (64, 48), smooth(48, 64, 4).tobytes())
    image.save(tmp_path / "a.jpg", quality=95)
    photo = read(tmp_path / "a.jpg")
    assert photo.layout.colours == 4
    assert np.abs(photo.pixels.astype(int) - smooth(48, 64, 4)).mean() < 3
    photo.save(tmp_path / "b.jpg")
    assert np.abs(read(tmp_path / "b.jpg").pixels.astype(int) - photo.pixels).mean() < 1
    with pytest.raises(OutputError, match="CMYK"):
        photo.save(tmp_path / "b.png")


def test_grey_stays_grey(tmp_path):
    Image.fromarray(smooth(48, 64)[:, :, 0]).save(tmp_path / "a.jpg")
    read(tmp_path / "a.jpg").save(tmp_path / "b.jpg")
    assert opened(tmp_path / "b.jpg").mode == "L"


# what cannot be kept


def test_less_depth_comes_with_a_warning(tmp_path, rng):
    photo = Photo((rng.random((20, 30, 3)) * 65535).astype(np.uint16), Layout(3))
    with pytest.warns(LossWarning, match="JPEG holds 8 bits"):
        photo.save(tmp_path / "a.jpg")
    pixels = rng.random((20, 30, 3)).astype(np.float32)
    pixels[0, :20] = 1.5
    with pytest.warns(LossWarning, match=r"PNG holds 16 bits.* 60 of 1800 values"):
        Photo(pixels, Layout(3)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").pixels[0, 0].tolist() == [65535] * 3


def test_transparency_is_refused_by_jpeg_unless_it_hides_nothing(tmp_path):
    pixels = np.dstack([smooth(20, 30), np.full((20, 30), 255, np.uint8)])
    Photo(pixels, Layout(3, has_alpha=True)).save(tmp_path / "a.jpg")
    pixels[3, 4:6, 3] = 9
    with pytest.raises(OutputError, match="2 of 600 pixels"):
        Photo(pixels, Layout(3, has_alpha=True)).save(tmp_path / "b.jpg")
    assert not (tmp_path / "b.jpg").exists()
    assert leftovers(tmp_path) == []


# bad files


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_several_frames_are_refused_with_their_number(tmp_path, rng, ending):
    frames = [Image.fromarray(rng.integers(0, 256, (9, 8, 3)).astype(np.uint8)) for _ in range(3)]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
    assert probe(tmp_path / f"a.{ending}").frames == 3
    with pytest.raises(UnsupportedImage, match=r"3 (frames|pages)"):
        read(tmp_path / f"a.{ending}")


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "gif", "deep.png", "deep.tif"])
def test_files_cut_off_anywhere_are_damaged(tmp_path, rng, ending, capfd):
    pixels = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    whole = tmp_path / f"a.{ending}"
    if ending == "gif":
        Image.fromarray(pixels).quantize(32).save(whole)
    else:
        write(Photo(pixels.astype(np.uint16) * 257 if "deep" in ending else pixels, Layout(3)), whole)
    data = whole.read_bytes()
    for share in (0.02, 0.3, 0.6, 0.9):
        cut = tmp_path / f"cut.{ending}"
        cut.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(DamagedImage):
            read(cut)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("dtype", "words"), [("float64", "64-bit float"), ("int16", "16-bit signed"), ("uint32", "32-bit")]
)
def test_tiff_pixels_that_cannot_be_kept_are_refused(tmp_path, dtype, words):
    tifffile = pytest.importorskip("tifffile")

    tifffile.imwrite(tmp_path / "a.tif", np.ones((9, 8), dtype))
    with pytest.raises(UnsupportedImage, match=words):
        read(tmp_path / "a.tif")


def test_huge_files_are_refused_from_their_header(tmp_path):
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")):
        png += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    (tmp_path / "a.png").write_bytes(png)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnsupportedImage, match="60000x60000, 3600 megapixels, and the limit is 500"):
            read(tmp_path / "a.png")
        assert probe(tmp_path / "a.png").megapixels == 3600


def test_a_photo_with_previews_is_one_picture(tmp_path):
    image = Image.fromarray(smooth(48, 64))
    image.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[image.resize((32, 24))])
    photo = read(tmp_path / "a.jpg")
    assert (photo.format, photo.size) == ("JPEG", Size(64, 48))
    photo.save(tmp_path / "b.jpg")
    assert opened(tmp_path / "b.jpg").format == "JPEG"


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read(tmp_path / "a.png")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DamagedImage, match="empty"):
        read(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"some text that is no image at all")
    with pytest.raises(DamagedImage, match="no image"):
        read(tmp_path / "a.png")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64)
    with pytest.raises((UnsupportedImage, DamagedImage)):
        read(tmp_path / "a.heic")


# writing whole or not at all


def test_existing_files_are_not_overwritten(tmp_path):
    photo = Photo(smooth(9, 8), Layout(3))
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(OutputExists):
        photo.save(path)
    with pytest.raises(OutputExists):
        files.check_output(path)
    assert path.read_bytes() == b"mine"
    path.chmod(0o640)
    photo.save(path, force=True)
    assert np.array_equal(read(path).pixels, photo.pixels)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    link = tmp_path / "link.png"
    link.symlink_to(path)
    photo.save(link, force=True)
    assert link.is_symlink()
    assert leftovers(tmp_path) == []


def test_a_file_that_appears_while_writing_is_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "a.png"

    def slow(photo, part, *rest):
        path.write_bytes(b"mine")
        part.write_bytes(b"ours")

    monkeypatch.setattr(writing, "_write_png", slow)
    with pytest.raises(OutputExists):
        Photo(smooth(9, 8), Layout(3)).save(path)
    assert path.read_bytes() == b"mine"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "deep.png", "deep.tif"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, ending):
    resource = pytest.importorskip("resource")
    script = f"""
import resource, numpy as np
from pathlib import Path
from eraser.files import Photo
from eraser.layouts import Layout
from eraser.errors import OutputError
pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
if "deep" in {ending!r}:
    pixels = pixels.astype(np.uint16) * 255
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    Photo(pixels, Layout(3)).save({str(tmp_path / "a")!r} + "." + {ending!r})
except OutputError as error:
    print("refused", error)
"""
    assert resource
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=Path.cwd())
    assert "refused" in done.stdout, done.stderr
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def stopped(photo, part, *rest):
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "_write_png", stopped)
    with pytest.raises(KeyboardInterrupt):
        Photo(smooth(9, 8), Layout(3)).save(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_disk_become_one_sentence(tmp_path, monkeypatch):
    def full(photo, part, *rest):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "_write_png", full)
    with pytest.raises(OutputError, match="No space left"):
        Photo(smooth(9, 8), Layout(3)).save(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    photo = Photo(smooth(9, 8), Layout(3))
    for path, words in (
        (tmp_path, "folder"),
        (tmp_path / "none" / "a.png", "no folder"),
        (tmp_path / "a.xyz", "ending"),
        (tmp_path / "a", "ending"),
    ):
        with pytest.raises(OutputError, match=words):
            photo.save(path)
    with pytest.raises(OutputError, match="quality"):
        photo.save(tmp_path / "a.jpg", quality=101)
    assert list(tmp_path.iterdir()) == []


def test_names_with_brackets_and_blanks(tmp_path):
    folder = tmp_path / "photos [1], täglich"
    folder.mkdir()
    deep = Photo(smooth(9, 8).astype(np.uint16) * 200, Layout(3))
    for name in ("a[page=2].png", "b [x].tif"):
        deep.save(folder / name)
        assert np.array_equal(read(folder / name).pixels, deep.pixels)


# EXIF on its own


def test_exif_is_patched_in_place(rng):
    block = exif_block(6, b"\xff\xd8thumbnail\xff\xd9")
    assert exif.orientation(block) == 6
    patched = exif.upright(block, Size(100, 70))
    assert exif.orientation(patched) == 1
    assert b"thumbnail" not in patched
    assert patched.index(MAKER_NOTE) == block.index(MAKER_NOTE)
    inner = exif.block_to_directory(patched).tags[0x8769].inner
    assert (inner.number(0xA002), inner.number(0xA003)) == (100, 70)


def test_damaged_exif_raises_nothing(rng):
    block = exif_block(6, b"thumbnail")
    for _ in range(500):
        broken = bytearray(block[: rng.integers(0, len(block) + 1)])
        for _ in range(4):
            if broken:
                broken[rng.integers(0, min(len(broken), 80))] = rng.integers(0, 256)
        assert isinstance(exif.upright(bytes(broken), Size(5, 6)), bytes)
        assert 1 <= exif.orientation(bytes(broken)) <= 8
        assert isinstance(exif.directory_to_block(exif.block_to_directory(bytes(broken))), bytes)
