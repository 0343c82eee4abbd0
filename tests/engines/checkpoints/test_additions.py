"""What is put onto a checkpoint: LoRAs, reference pictures, samplers, small decoders; what does not fit is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from eraser.engines.latent_records import parsed
from eraser.engines.loading import Loading, Weighted
from eraser.errors import EngineError, InputError, MissingWeights, OutOfRange
from tests.engines.networks import ON_NETWORKS

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines import attachments  # noqa: E402
from eraser.engines.painter import Painter  # noqa: E402
from tests import miniature_extras as extras  # noqa: E402
from tests import miniature_pipelines as made  # noqa: E402
from tests.engines.checkpoints.drawings import FAMILIES, copied, drawing  # noqa: E402

pytestmark = ON_NETWORKS


def test_a_lora_adds_its_product_to_the_weights_by_its_weight(sd, look, plain):
    from safetensors.torch import load_file

    changed = Painter(Loading(str(sd), "folder", loras=(Weighted(str(look), 0.5), Weighted(str(look), 0.25))))
    before = dict(Painter(Loading(str(sd), "folder"))._net.named_parameters())
    numbers = load_file(look)
    layers = sorted({name.partition(".lora_")[0] for name in numbers})
    assert len(layers) > 5
    for layer in layers:
        name = layer.removeprefix("unet.") + ".weight"
        product = numbers[f"{layer}.lora_B.weight"] @ numbers[f"{layer}.lora_A.weight"]
        after = dict(changed._net.named_parameters())[name]
        assert torch.allclose(after, before[name] + 0.75 * product, atol=1e-5)
    assert np.abs(drawing(changed) - plain).max() > 0.01
    assert changed.facts["loras"] == ["look.safetensors:0.5", "look.safetensors:0.25"]
    nothing = Loading(str(sd), "folder", loras=(Weighted(str(look), 0.0),))
    assert np.allclose(drawing(nothing), plain, atol=1e-4)


@pytest.mark.parametrize(
    ("checkpoint", "file", "words"),
    [
        ("sd", "flux", "is for a transformer, the checkpoint is a U-Net"),
        ("flux", "sd", "is for a U-Net, the checkpoint is a transformer"),
        ("sd", "xl", "a model of words 80 wide, the checkpoint is a model of words 32 wide"),
        ("flux", "z", "does not fit a FluxFillPipeline"),
        ("sd", "one", "is no LoRA"),
    ],
)
def test_a_lora_of_another_family_is_one_sentence(checkpoint, file, words, sd, flux, look, one_file, tmp_path):
    folder = {"sd": sd, "flux": flux}[checkpoint]
    path = {"sd": look, "one": one_file}.get(file)
    if path is None:
        maker = {"flux": made.flux_fill, "xl": made.stable_diffusion_xl, "z": made.z_image}[file]
        path = extras.lora(maker(tmp_path / file), tmp_path / f"{file}.safetensors")
    with pytest.raises(EngineError, match=words) as told:
        drawing(Loading(str(folder), "folder", loras=(Weighted(str(path)),)))
    assert "\n" not in str(told.value)


def test_a_reference_picture_changes_the_drawing_and_without_weight_does_not(sd, adapter, plain, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    pictures = [tmp_path / f"{number}.png" for number in range(2)]
    for picture in pictures:
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(picture)
    painter = Painter(Loading(str(sd), "folder", adapter=Weighted(str(adapter))))
    first, other = (drawing(painter, reference=str(picture)) for picture in pictures)
    assert np.abs(first - plain).max() > 0.001
    assert np.abs(first - other).max() > 1e-4
    silent = Loading(str(sd), "folder", adapter=Weighted(str(adapter), 0.0))
    assert np.allclose(drawing(silent, reference=str(pictures[0])), plain, atol=1e-4)
    with pytest.raises(InputError, match="cannot be read"):
        drawing(painter, reference=str(tmp_path / "none.png"))


def test_adapters_that_cannot_be_used_are_told(sd, flux, look, adapter, tmp_path, empty_cache):
    def load(folder: Path, file: str) -> None:
        Painter(Loading(str(folder), "folder", adapter=Weighted(file)))

    with pytest.raises(EngineError, match="takes no reference picture for FluxFill"):
        load(flux, str(adapter))
    with pytest.raises(EngineError, match="is no IP-Adapter"):
        load(sd, str(look))
    with pytest.raises(MissingWeights, match="is not on this machine") as told:
        load(sd, "")
    assert "hf download h94/IP-Adapter" in told.value.hint
    alone = shutil.copy(adapter, tmp_path / "alone.safetensors")
    with pytest.raises(MissingWeights, match="no image encoder beside it"):
        load(sd, str(alone))
    other = extras.adapter(tmp_path / "other.safetensors", width=48)
    with pytest.raises(EngineError, match="does not fit"):
        load(sd, str(other))
    place = empty_cache / "models--h94--IP-Adapter" / "snapshots" / "1" / "models"
    place.parent.mkdir(parents=True)
    shutil.copytree(adapter.parent, place)
    (place / adapter.name).rename(place / "ip-adapter_sd15.safetensors")
    load(sd, "")


@pytest.mark.parametrize("name", [name for name, of in attachments.SAMPLERS.items() if of.diffusion])
def test_every_sampler_draws(sd, name):
    painter = Painter(Loading(str(sd), "folder", sampler=name))
    assert painter.facts["sampler"] == attachments.SAMPLERS[name].diffusion
    for key, value in attachments.SAMPLERS[name].settings.items():
        assert painter._pipeline.scheduler.config[key] == value
    assert np.isfinite(drawing(painter, steps=4)).all()


@pytest.mark.parametrize("name", [name for name, of in attachments.SAMPLERS.items() if of.flow])
@pytest.mark.parametrize("family", ["flux-fill", "sd35"])
def test_every_flow_sampler_draws(family, name, tmp_path):
    folder = FAMILIES[family](tmp_path / family)
    painter = Painter(Loading(str(folder), "folder", sampler=name))
    assert painter.facts["sampler"] == attachments.SAMPLERS[name].flow
    assert np.isfinite(drawing(painter, steps=3)).all()


def test_a_sampler_that_does_not_fit_names_those_that_do(sd, flux):
    with pytest.raises(OutOfRange, match='"magic"') as told:
        Painter(Loading(str(sd), "folder", sampler="magic"))
    assert "dpmpp-karras" in told.value.hint
    with pytest.raises(OutOfRange, match='"ddim"') as told:
        Painter(Loading(str(flux), "folder", sampler="ddim"))
    assert told.value.hint == "choose euler, lcm"


def test_a_small_decoder_is_taken_from_the_folder_or_the_cache_when_it_fits(sd, tmp_path, empty_cache):
    assert Painter(Loading(str(sd), "folder"))._pipeline.tiny_vae is None
    folder = copied(sd, tmp_path / "with")
    extras.tiny_decoder(folder / "tiny_vae")
    painter = Painter(Loading(str(folder), "folder"))
    tiny = painter._pipeline.tiny_vae
    assert tiny.decode(torch.zeros(1, 4, 16, 16)).sample.shape == (1, 3, 32, 32)
    assert "tiny_vae" not in painter._pipeline.components
    extras.in_cache(empty_cache, "madebyollin/taesd", extras.tiny_decoder(tmp_path / "four"))
    assert Painter(Loading(str(sd), "folder"))._pipeline.tiny_vae is not None
    shutil.rmtree(empty_cache)
    extras.in_cache(empty_cache, "madebyollin/taesd", extras.tiny_decoder(tmp_path / "sixteen", channels=16))
    assert Painter(Loading(str(sd), "folder"))._pipeline.tiny_vae is None


def test_the_safety_checker_runs_where_it_is_carried_unless_it_is_switched_off(sd, tmp_path, monkeypatch):
    folder = extras.checked(sd, tmp_path / "checked")
    painter = Painter(Loading(str(folder), "folder"))
    assert painter.facts["safety_checker"] is True
    asked = []
    kind = type(painter._pipeline.safety_checker)
    refuses = lambda self, images, clip_input: (asked.append(1), (images, [True]))[1]  # noqa: E731
    monkeypatch.setattr(kind, "forward", refuses)
    with pytest.raises(EngineError, match="safety checker refuses"):
        drawing(painter)
    assert asked == [1]
    free = Painter(parsed(f"{folder}?safety=off")[0])
    assert free.facts["safety_checker"] is False
    drawing(free)
    assert asked == [1]


def test_no_watermark_is_ever_made(tmp_path):
    painter = Painter(Loading(str(made.stable_diffusion_xl(tmp_path / "xl")), "folder"))
    assert painter._pipeline.watermark is None
