"""Latent checkpoints of every family are loaded as they are released, from folders and single files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import eraser
from eraser import hub
from eraser.engines.latent_records import RECORDS, Options, parsed
from eraser.engines.loading import Loading
from eraser.errors import DamagedWeights, EngineError, MissingWeights
from eraser.geometry import Box
from tests.engines.networks import ON_NETWORKS

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines.painter import Painter, Wish  # noqa: E402
from tests import miniature_extras as extras  # noqa: E402
from tests import miniature_pipelines as made  # noqa: E402
from tests.engines.checkpoints.drawings import FAMILIES, SCENE, copied, drawing  # noqa: E402
from tests.engines.views import run  # noqa: E402

pytestmark = ON_NETWORKS


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_the_table_loads_fills_and_repeats(family, tmp_path):
    painter = Painter(Loading(str(FAMILIES[family](tmp_path / family)), "folder"))
    first = drawing(painter)
    assert first.shape == (32, 32, 3)
    assert first.std() > 0.01
    assert np.array_equal(drawing(painter), first)
    assert not np.array_equal(drawing(painter, seed=2), first)
    if family != "flux-fill":  # whose guidance is an input, and who takes no negative words
        assert not np.array_equal(drawing(painter, guidance=6.0), first)
    assert "Inpaint" in painter.facts["pipeline"] or "Fill" in painter.facts["pipeline"]
    assert painter.facts["dtype"] == "float32"


@pytest.mark.parametrize("family", [*FAMILIES, "flux-base"])
def test_negative_words_that_change_nothing_are_told_and_no_others(family, tmp_path):
    make = FAMILIES.get(family, made.flux_base)
    painter = Painter(Loading(str(make(tmp_path / family)), "folder"))

    def drawn(negative: str, guidance: float) -> np.ndarray:
        steps = painter.steps(SCENE, Wish("a door", negative, (1,)), Options(steps=1, guidance=guidance))
        return run(steps)[0]

    for guidance in (0.0, 4.0):
        followed = not np.array_equal(drawn("fog and rain", guidance), drawn("grass", guidance))
        told = painter.unheard(Options(guidance=guidance, negative="fog and rain"))
        assert ("fog and rain" in told) == (not followed)
        assert painter.unheard(Options(guidance=guidance)) == ""
        assert followed == (guidance > 1 and not family.startswith("flux"))


def test_a_result_warns_of_negative_words_that_were_left_out(flux):
    photo = np.random.default_rng(0).integers(60, 190, (50, 60, 3), dtype=np.uint8)
    reports = []
    asked = {"grow": 0, "on_report": reports.append}
    for query, prompt in [("negative=fog", "a door"), ("", "a door"), ("negative=fog", None)]:
        eraser.erase(
            photo, Box(20, 14, 16, 16), engine=f"latent:{flux}?steps=1&side=32&{query}", prompt=prompt, **asked
        )
    told, *others = [report.warnings for report in reports]
    assert told == ['the negative words "fog" are left out: FluxFillPipeline follows none']
    assert others == [[], []]


def test_records_say_what_they_are_and_pin_commits_or_say_none():
    assert list(RECORDS) == ["sd15", "sd2", "sdxl", "sd35", "flux-fill", "qwen-image", "z-image"]
    for record in RECORDS.values():
        repository = record.repository
        assert repository.name.count("/") == 1
        assert repository.revision == "" or len(bytes.fromhex(repository.revision)) == 20
        assert repository.gigabytes > 1
        assert repository.licence
        assert repository.limits
        assert record.options.side in (512, 1024)


def test_half_weights_alone_are_found_by_their_spelling(sd, tmp_path, plain):
    folder = copied(sd, tmp_path / "half")
    for path in folder.glob("*/*.safetensors"):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    assert hub.variant(folder) == "fp16"
    assert np.array_equal(drawing(folder), plain)


def test_a_single_file_draws_what_its_folder_draws(sd, one_file, plain):
    assert np.array_equal(drawing(Loading(str(one_file), "file", configs=str(sd))), plain)


def test_a_single_file_of_xl_with_its_two_encoders_draws_what_its_folder_draws(tmp_path):
    folder = made.stable_diffusion_xl(tmp_path / "xl")
    file = extras.single_file_xl(folder, tmp_path / "one.safetensors")
    assert np.allclose(drawing(Loading(str(file), "file", configs=str(folder))), drawing(folder), atol=1e-5)


def test_a_single_file_is_described_by_the_folder_of_its_name_or_by_its_family_in_the_cache(
    sd, one_file, plain, tmp_path, empty_cache
):
    beside = shutil.copy(one_file, tmp_path / "mine.safetensors")
    with pytest.raises(MissingWeights, match="looks like inpainting") as told:
        drawing(Loading(str(beside), "file"))
    assert "hf download stable-diffusion-v1-5/stable-diffusion-inpainting --include" in told.value.hint
    base = copied(sd, tmp_path / "base")
    config = base / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"in_channels": 4}))
    for path in base.glob("*/*.safetensors"):
        path.unlink()
    # a base model's configs, without weights: the file itself says that it takes nine channels
    extras.in_cache(empty_cache, "stable-diffusion-v1-5/stable-diffusion-inpainting", base)
    assert np.array_equal(drawing(Loading(str(beside), "file")), plain)
    shutil.rmtree(empty_cache)
    copied(sd, tmp_path / "mine")
    assert np.array_equal(drawing(Loading(str(beside), "file")), plain)
    assert parsed(str(beside))[0] == Loading(str(beside), "file")


def test_files_that_are_no_checkpoint_are_told_apart(look, one_file, tmp_path, empty_cache):
    with pytest.raises(EngineError, match="is a LoRA") as told:
        drawing(Loading(str(look), "file"))
    assert "?lora=" in told.value.hint
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(EngineError, match="holds 1 tensors of no family"):
        drawing(Loading(str(tmp_path / "other.safetensors"), "file"))
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(one_file.read_bytes()[:-100])
    with pytest.raises(DamagedWeights, match=rf"has {torn.stat().st_size} of {one_file.stat().st_size} bytes"):
        drawing(Loading(str(torn), "file"))
