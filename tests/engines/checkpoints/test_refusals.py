"""Checkpoints that are missing, damaged or unfit are one sentence with a way out."""

from __future__ import annotations

import json
import shutil
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eraser.engines import registry
from eraser.engines.latent_records import RECORDS, parsed
from eraser.engines.loading import Loading
from eraser.errors import DamagedWeights, EngineError, MissingExtra, MissingWeights
from tests.engines.networks import ON_NETWORKS

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines.painter import Painter  # noqa: E402
from tests import miniature_extras as extras  # noqa: E402
from tests.engines.checkpoints.drawings import copied, drawing  # noqa: E402

pytestmark = ON_NETWORKS


def test_nothing_is_fetched_and_what_is_missing_says_how_to_get_it(tmp_path, monkeypatch, empty_cache):
    with pytest.raises(MissingWeights, match="holds no diffusers checkpoint"):
        registry.load(f"latent:{tmp_path}")
    with pytest.raises(MissingWeights, match="there is no checkpoint called nowhere"):
        registry.load("latent:nowhere")
    with pytest.raises(MissingWeights, match="is told what to run") as told:
        registry.load("latent")
    assert "latent:CHECKPOINT" in told.value.hint
    with pytest.raises(MissingWeights, match=r"\(2.8 GB\) is not on this machine") as told:
        registry.load("latent:sd15")
    assert told.value.hint == "eraser models fetch sd15"
    with pytest.raises(MissingWeights, match="nobody-at-all/nothing is not on this machine") as told:
        registry.load("latent:nobody-at-all/nothing")
    assert told.value.hint == "hf download nobody-at-all/nothing"


def test_a_record_is_loaded_from_the_cache_at_its_commit_or_the_one_there(
    sd, plain, empty_cache, monkeypatch, tmp_path
):
    repository = RECORDS["sd15"].repository
    extras.in_cache(empty_cache, repository.name, sd, commit="f" * 40)
    loading = parsed("sd15")[0]
    painter = Painter(loading)
    assert np.array_equal(drawing(painter), plain)
    assert painter.facts["checkpoint"] == repository.name
    assert painter.facts["revision"] == "f" * 40
    extras.in_cache(empty_cache, repository.name, sd, commit=repository.revision)
    assert Painter(loading).facts["revision"] == repository.revision
    monkeypatch.setenv("ERASER_WEIGHTS", str(tmp_path / "brought"))
    copied(sd, tmp_path / "brought" / "sd15")
    assert parsed("sd15")[0] == Loading(str(tmp_path / "brought" / "sd15"), "folder")


@pytest.mark.parametrize("package", ["diffusers", "transformers", "torch"])
def test_an_extra_that_is_not_installed_is_told_with_the_install_line(sd, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=package) as told:
        Painter(Loading(str(sd), "folder"))
    assert told.value.hint == "pip install -e '.[diffusion]' in the clone"


def cut(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200_000])


def cut_early(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])


def without_weights(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()


def without_part(folder: Path) -> None:
    shutil.rmtree(folder / "vae")


def without_shard(folder: Path) -> None:
    listing = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    listing.write_text(json.dumps({"weight_map": {"a": "diffusion_pytorch_model-00002-of-00002.safetensors"}}))


def pickled(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()


def of_sound(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "AudioLDM2Pipeline"}))


def unknown(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "MyInpaintPipeline"}))


def no_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("[1, 2")


def other_sizes(folder: Path) -> None:
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"cross_attention_dim": 48}))


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (cut, DamagedWeights, r"has 200000 of \d+ bytes"),
        (cut_early, DamagedWeights, r"2000 bytes\) is no safetensors file, or its start is damaged"),
        (without_weights, MissingWeights, "no safetensors weights of its part unet"),
        (without_part, MissingWeights, "lacks its part vae"),
        (without_shard, MissingWeights, "lacks unet/diffusion_pytorch_model-00002-of-00002"),
        (pickled, MissingWeights, "only pickled ones, which are not read"),
        (of_sound, EngineError, "AudioLDM2Pipeline, which diffusers .* has no inpainting pipeline for"),
        (unknown, EngineError, "MyInpaintPipeline, which diffusers"),
        (no_index, DamagedWeights, "cannot be read"),
        (other_sizes, DamagedWeights, "cannot be loaded"),
    ],
)
def test_damaged_and_unfit_checkpoints_are_one_sentence_with_a_way_out(sd, tmp_path, damage, kind, words):
    folder = copied(sd, tmp_path / "torn")
    damage(folder)
    with pytest.raises(kind, match=words) as told:
        Painter(Loading(str(folder), "folder"))
    assert told.value.hint
    assert "\n" not in str(told.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_asked_for_and_not_had_is_told(sd, monkeypatch):
    monkeypatch.setenv("ERASER_DEVICE", "gpu")
    with pytest.raises(EngineError, match="no GPU here"):
        registry.load(f"latent:{replace(Loading(str(sd), 'folder')).place}?steps=7")


def test_without_torch_any_latent_engine_is_one_sentence(monkeypatch):
    for name in ("torch", "diffusers"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(registry, "_kept", OrderedDict())
    for name in ("latent:sd15", "latent:somewhere"):
        with pytest.raises(MissingExtra, match="is not installed"):
            registry.load(name)
