"""`--report` and `eraser redo`: the same pixels from the sidecar, and what is said where they cannot be the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import eraser
from eraser import cli, sidecar
from eraser.engines import registry
from eraser.errors import InputError
from eraser.files import read
from eraser.provenance import DIGITAL_SOURCE_TYPE, PATCHES, TRAINED
from eraser.xmp import values
from tests import miniatures

Command = Callable[..., Any]

CALLS = {
    "mask": "erase photo.png mask.png",
    "tries": "erase photo.png mask.png --tries 2 --seed 5 --grow 3",
    "boxes and outlines": "erase photo.png --box 10%,10%,8%,9.5% --box 60,40,7,8 --polygon '20,5 30,9 22,20'",
    "colour": "erase painted.png mask.png --colour '#fe00ff' --tolerance 4 --grow 1.5",
    "jpeg": "erase photo.jpg mask.png --quality 80",
    "transparent": "erase clear.png mask.png --opaque",
    "16 bits": "erase deep.png mask.png",
    "sides": "extend photo.png --left 10% --bottom 7",
    "aspect": "extend photo.png --aspect 2:1",
    "size": "extend photo.png --size 90x64 --seed 9",
}


@pytest.fixture
def pictures(folder: Path) -> Path:
    with Image.open(folder / "photo.png") as image:
        image.save(folder / "photo.jpg", quality=91)
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(folder / "clear.png")
    photo = read(folder / "photo.png")
    photo.with_pixels(photo.pixels.astype(np.uint16) * 257 + 3).save(folder / "deep.png")
    return folder


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("line", CALLS.values(), ids=CALLS)
def test_a_result_is_made_again_bit_for_bit(command: Command, pictures: Path, line: str) -> None:
    ending = ".jpg" if "jpg" in line else ".png"
    first = command(f"{line} --report -o first{ending}")
    assert (first.code, first.err, first.added) == (0, "", [f"first{ending}", f"first{ending}.json"])
    again = command(f"redo first{ending}.json")
    assert (again.code, again.err, again.added) == (0, "", [f"first-redone{ending}"])
    assert "bit for bit" in again.out
    assert np.array_equal(read(pictures / f"first{ending}").pixels, read(pictures / f"first-redone{ending}").pixels)
    # the same file too, and again from its own sidecar
    assert (pictures / f"first{ending}").read_bytes() == (pictures / f"first-redone{ending}").read_bytes()
    once_more = json.loads(command(f"redo first{ending}.json --report -o second{ending} --json").out)
    assert (once_more["same"], once_more["differences"]) == (True, [])
    a, b = load(pictures / f"first{ending}.json"), load(pictures / f"second{ending}.json")
    for changing in ("started", "seconds", "windows", "output"):
        a.pop(changing), b.pop(changing)
    if "options" in a:
        a["options"].pop("grow", None), b["options"].pop("grow", None)
    assert a == b


def test_a_sidecar_says_what_made_the_result(command: Command, folder: Path) -> None:
    done = command("erase photo.png mask.png -o clean.png --report --seed 3 --grow 2 --json")
    said, told = json.loads(done.out), load(folder / "clean.png.json")
    assert said["report"] == "clean.png.json"
    assert (told["schema"], told["mode"], told["engine"], told["device"]) == (1, "erase", "patch", "CPU")
    assert (told["seed"], told["tries"], told["kept"], told["options"]["grow"]) == (3, 1, [3], "2")
    assert told["hole_pixels"] == said["hole_pixels"] > 80
    assert told["photo"] == {"path": "photo.png", "sha256": sidecar.sum_of(folder / "photo.png")}
    assert told["mask"] == {"path": "mask.png", "sha256": sidecar.sum_of(folder / "mask.png")}
    assert told["output"]["sha256"] == sidecar.sum_of(folder / "clean.png")
    assert told["source_type"] == PATCHES
    assert told["versions"]["magic-eraser"] == eraser.__version__
    assert (told["warnings"], told["fallbacks"]) == ([], [])


def test_sidecar_and_pictures_may_move_together_or_be_named_where_they_are(command: Command, folder: Path) -> None:
    command("erase photo.png mask.png --report")
    moved = folder / "täglich" / "deep"
    moved.mkdir(parents=True)
    for name in ("photo.png", "mask.png", "photo-erased.png.json"):
        shutil.move(folder / name, moved / name)
    assert command(f"redo '{moved}/photo-erased.png.json' -o together.png").code == 0
    shutil.move(moved / "photo.png", folder / "holiday.png")
    shutil.move(moved / "mask.png", folder / "marked.png")
    gone = command(f"redo '{moved}/photo-erased.png.json' -o apart.png")
    assert (gone.code, gone.added) == (cli.BAD_INPUT, [])
    assert "--photo" in gone.err
    line = f"redo '{moved}/photo-erased.png.json' -o apart.png --photo holiday.png"
    assert "--mask" in command(line).err
    assert "bit for bit" in command(f"{line} --mask marked.png").out


def test_another_photo_or_mask_is_refused_with_both_sums(command: Command, folder: Path) -> None:
    command("erase photo.png mask.png --report -o a.png")
    right = {name: (folder / name).read_bytes() for name in ("photo.png", "mask.png")}
    for name, what in (("photo.png", "photo"), ("mask.png", "mask")):
        (folder / name).write_bytes(right[name] + b"\0")
        done = command("redo a.png.json")
        assert (done.code, done.added) == (cli.BAD_INPUT, [])
        assert f"is not the {what} that the result was made from" in done.err
        assert sidecar.sum_of(folder / name)[:12] in done.err
        (folder / name).write_bytes(right[name])
    assert command("redo a.png.json").code == 0


def test_what_differs_is_said_and_whether_the_pixels_do(command: Command, folder: Path) -> None:
    command("erase photo.png mask.png --report -o a.png")
    told = load(folder / "a.png.json")
    told["versions"] |= {"numpy": "1.0", "abacus": "7"}
    told["device"] = "GPU"
    (folder / "a.png.json").write_text(json.dumps(told))
    done = command("redo a.png.json -o same.png --json")
    assert json.loads(done.out)["same"] is True  # what differs need not matter
    assert json.loads(done.out)["differences"] == [
        f"numpy was 1.0 and is {np.__version__}", "abacus was 7 and is not there", "device was GPU and is CPU",
    ]  # fmt: skip
    told["output"]["pixels_sha256"] = "0" * 64
    told["hole_sha256"] = "1" * 64
    (folder / "a.png.json").write_text(json.dumps(told))
    done = command("redo a.png.json -o other.png")
    assert done.code == 0
    assert "the pixels are not those of the first result" in done.err
    assert "device was GPU and is CPU; the marks give another hole" in done.err


def test_a_sidecar_is_never_overwritten_unless_forced_and_nothing_is_painted_before(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.png.json").write_text("precious")
    with monkeypatch.context() as patched:
        patched.setattr(eraser.Eraser, "erase", None)
        done = command("erase photo.png mask.png --report -o a.png")
    assert (done.code, done.added) == (cli.BAD_INPUT, [])
    assert "--force" in done.err
    assert (folder / "a.png.json").read_text() == "precious"
    assert command("erase photo.png mask.png --report -o a.png --force").code == 0
    assert load(folder / "a.png.json")["mode"] == "erase"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_without_asking_there_is_no_sidecar_and_files_are_read_once(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecar, "digest", None)
    monkeypatch.setattr(sidecar, "sum_of_pixels", None)
    assert command("erase photo.png mask.png").added == ["photo-erased.png"]
    assert command("extend photo.png --left 5").added == ["photo-extended.png"]


def test_the_mark_is_there_unless_switched_off_and_redo_keeps_to_that(command: Command, folder: Path) -> None:
    for options, said in (("", [PATCHES]), (" --no-provenance", [])):
        for name, line in (("a.png", "erase photo.png mask.png"), ("b.png", "extend photo.png --top 4")):
            assert command(f"{line} --force --report -o {name}{options}").code == 0
            assert values(read(folder / name).metadata.xmp, DIGITAL_SOURCE_TYPE) == said
            command(f"redo {name}.json --force -o c.png")
            assert values(read(folder / "c.png").metadata.xmp, DIGITAL_SOURCE_TYPE) == said
    command("erase photo.png mask.png --force --report -o a.png")
    command("redo a.png.json --force -o c.png --no-provenance")
    assert values(read(folder / "c.png").metadata.xmp, DIGITAL_SOURCE_TYPE) == []


def test_a_trained_engine_is_named_with_its_weights_and_other_weights_are_told(command: Command, folder: Path) -> None:
    pytest.importorskip("onnx")
    miniatures.migan(folder / "tiny.onnx")
    done = command("erase photo.png mask.png --engine onnx:tiny.onnx --report -o a.png --json")
    assert json.loads(done.out)["source_type"] == TRAINED
    assert values(read(folder / "a.png").metadata.xmp, DIGITAL_SOURCE_TYPE) == [TRAINED]
    told = load(folder / "a.png.json")
    assert (told["engine"], told["facts"]["model"]) == ("onnx:tiny.onnx", "tiny.onnx")
    assert told["facts"]["sha256"] == sidecar.sum_of(folder / "tiny.onnx")
    assert told["facts"]["options"]["hole"] == "low"
    assert "bit for bit" in command("redo a.png.json -o b.png").out
    told["facts"]["sha256"] = "f" * 64
    (folder / "a.png.json").write_text(json.dumps(told))
    (difference,) = json.loads(command("redo a.png.json -o c.png --json").out)["differences"]
    assert difference.startswith("sha256 was ffff")


def test_an_engine_s_file_that_lies_elsewhere_is_asked_for_and_named(command: Command, folder: Path) -> None:
    pytest.importorskip("onnx")
    miniatures.migan(folder / "tiny.onnx")
    command("erase photo.png mask.png --engine onnx:tiny.onnx --report -o a.png")
    (folder / "models").mkdir()
    for file in ("tiny.onnx", "tiny.json"):
        shutil.copy(folder / file, folder / "models" / file)
    (folder / "tiny.onnx").rename(folder / "away.onnx")
    (folder / "tiny.json").unlink()
    registry._kept.clear()  # as in a process of its own
    gone = command("redo a.png.json -o b.png")
    assert gone.code == cli.ENGINE_CANNOT
    assert "there is no file tiny.onnx" in gone.err
    assert "--engine" in gone.err
    assert "bit for bit" in command("redo a.png.json -o b.png --engine onnx:models/tiny.onnx").out
    other = command("redo a.png.json -o c.png --engine patch")
    assert other.code == cli.BAD_INPUT
    assert "is by the engine" in other.err


def test_a_fallback_is_told_and_not_called_trained(command: Command, folder: Path) -> None:
    pytest.importorskip("onnx")
    miniatures.migan(folder / "tiny.onnx")
    with Image.open(folder / "photo.png") as image:
        image.convert("CMYK").save(folder / "inks.tif")
    done = command("erase inks.tif mask.png --engine onnx:tiny.onnx --report -o a.tif")
    assert done.err == "eraser: note: the model does not know CMYK, so the patch engine paints alone\n"
    told = load(folder / "a.tif.json")
    assert told["fallbacks"] == ["the model does not know CMYK, so the patch engine paints alone"]
    assert told["source_type"] == PATCHES
    assert values(read(folder / "a.tif").metadata.xmp, DIGITAL_SOURCE_TYPE) == [PATCHES]


# -- files that are no sidecars --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no sidecar"),
        ("words", "no sidecar"),
        ("[1]", "no sidecar"),
        ("{}", "no schema"),
        ('{"schema": 99}', "reads up to 1"),
        ('{"schema": 1}', "mode"),
        ("[" * 100_000, "no sidecar"),
    ],
)
def test_what_is_no_sidecar_is_one_sentence(command: Command, folder: Path, content: str, says: str) -> None:
    (folder / "x.json").write_text(content)
    done = command("redo x.json")
    assert (done.code, done.out, done.added) == (cli.BAD_INPUT, "", [])
    assert done.err.count("\n") == 1
    assert says in done.err


@pytest.mark.parametrize("path", ["nowhere.json", "folder.png", "photo.png"])
def test_places_without_a_sidecar_are_one_sentence(command: Command, path: str) -> None:
    done = command(f"redo {path}")
    assert (done.code, done.out, done.added) == (cli.BAD_INPUT, "", [])
    assert done.err.count("\n") == 1
    assert "codec" not in done.err
    assert ("it is no text" in done.err) == (path == "photo.png")


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5),
    st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none()),
)  # fmt: skip


@given(data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sidecars_with_anything_in_them_end_in_a_result_or_one_sentence(
    command: Command, folder: Path, data: st.DataObject
) -> None:
    name = "extended" if data.draw(st.booleans()) else "erased"
    if not (folder / f"{name}.png.json").exists():
        line = "erase photo.png mask.png --box 1,1,3,3" if name == "erased" else "extend photo.png --left 2"
        command(f"{line} --report -o {name}.png")
    told = load(folder / f"{name}.png.json")
    part = told
    while True:
        key = data.draw(st.sampled_from(sorted(part)))
        if not isinstance(part[key], dict) or not part[key] or data.draw(st.booleans()):
            break
        part = part[key]
    part[key] = data.draw(ODD)
    if part is told["shape"]:  # a valid width of a picture too large to paint here
        part[key] = data.draw(st.one_of(st.none(), st.text(max_size=5), st.integers(-3, 9), st.lists(st.integers())))
    (folder / "odd.json").write_text(json.dumps(told))
    done = command("redo odd.json -o odd.png --force --json")
    assert done.code in (0, cli.BAD_INPUT, cli.ENGINE_CANNOT)
    assert json.loads(done.out)["ok"] is (done.code == 0)


def test_a_sidecar_is_refused_where_its_photo_is_gone_before_it_is_written(folder: Path) -> None:
    reports: list[eraser.Report] = []
    result = eraser.erase(folder / "photo.png", folder / "mask.png", on_report=reports.append)
    result.save(folder / "a.png")
    with pytest.raises(InputError, match="no file"):
        sidecar.write(folder / "a.png", reports[0], result, photo=folder / "nowhere.png")
    assert not (folder / "a.png.json").exists()


def test_a_sidecar_written_from_python_is_redone(command: Command, folder: Path) -> None:
    reports: list[eraser.Report] = []
    erased = eraser.erase(folder / "photo.png", folder / "mask.png", grow=3, seed=2, on_report=reports.append)
    boxed = eraser.erase(folder / "photo.png", eraser.Box(5, 6, 7, 8), tries=2, on_report=reports.append)
    extended = eraser.outpaint(folder / "photo.png", left="10%", bottom=3, on_report=reports.append)
    more: list[dict[str, Any]] = [{"mask": folder / "mask.png"}, {"marks": {"boxes": ["5,6,7,8"]}}, {}]
    for number, (result, report, inputs) in enumerate(zip((erased, boxed, extended), reports, more, strict=True)):
        result.save(folder / f"{number}.png")
        sidecar.write(folder / f"{number}.png", report, result, photo=folder / "photo.png", **inputs)
        said = json.loads(command(f"redo {number}.png.json --json").out)
        assert (said["same"], said["differences"]) == (True, [])
