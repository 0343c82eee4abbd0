"""The options of a checkpoint, and those that a model of few steps brings along."""

from __future__ import annotations

import json

import pytest

from eraser.engines import few_steps, registry
from eraser.engines.latent_records import RECORDS, Options, parsed
from eraser.engines.loading import Loading, Weighted
from eraser.errors import InputError, OutOfRange
from tests.engines.checkpoints.drawings import copied
from tests.engines.networks import ON_NETWORKS

pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")


pytestmark = ON_NETWORKS


@pytest.mark.parametrize(
    ("name", "method", "steps", "guidance", "sampler"),
    [
        ("pytorch_lora_weights-lcm-lora-sdv1-5", "LCM", 6, 1.5, "lcm"),
        ("sdxl-turbo", "Turbo", 4, 0.0, ""),
        ("stable-diffusion-3.5-large-turbo", "Turbo", 4, 0.0, ""),
        ("sdxl_lightning_4step_lora", "Lightning", 4, 0.0, "euler-trailing"),
        ("SDXL-Lightning-8step", "Lightning", 8, 0.0, "euler-trailing"),
        ("Hyper-SD15-8steps-lora", "Hyper", 8, 0.0, "ddim-trailing"),
        ("Hyper-SDXL-1step-lora", "Hyper", 1, 0.0, "ddim-trailing"),
        ("dmd2_sdxl_4step_lora", "DMD2", 4, 0.0, "lcm"),
        ("tcd-sdxl-lora", "TCD", 4, 0.0, "tcd"),
        ("FLUX.1-schnell", "schnell", 4, 0.0, ""),
    ],
)
def test_few_step_models_are_known_by_their_names(name, method, steps, guidance, sampler):
    assert few_steps.recognised([name]) == few_steps.FewSteps(method, steps, guidance, sampler)


@pytest.mark.parametrize(
    "name", ["hyperrealistic-portraits", "turbocharged", "lightningbolts", "calcmodel", "falcm", "", "sd15"]
)
def test_ordinary_names_are_not_taken_for_few_steps(name):
    assert few_steps.recognised([name]) is None


def test_few_steps_are_taken_over_where_nobody_chose_otherwise(sd, tmp_path):
    turbo = copied(sd, tmp_path / "my-turbo")
    loading, options, few = few_steps.applied(str(turbo), *parsed(str(turbo)))
    assert (few.method, options.steps, options.guidance, loading.sampler) == ("Turbo", 4, 0.0, "")
    what = f"{turbo}?steps=2"
    _, options, _ = few_steps.applied(what, *parsed(what))
    assert (options.steps, options.guidance) == (2, 0.0)
    what = f"{sd}?lora=some-lcm-lora.safetensors:0.9&guidance=3"
    loading, options, _ = few_steps.applied(what, *parsed(what))
    assert (options.steps, options.guidance, loading.sampler) == (6, 3.0, "lcm")
    # by its scheduler alone, and with guidance as an input
    distilled = copied(sd, tmp_path / "distilled")
    for part, said in (("scheduler/scheduler_", {"_class_name": "LCMScheduler"}), ("unet/", {"time_cond_proj_dim": 8})):
        config = distilled / f"{part}config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | said))
    _, options, few = few_steps.applied(str(distilled), *parsed(str(distilled)))
    assert (few.method, options.guidance) == ("LCM", 7.5)
    for known in RECORDS:
        assert few_steps.applied(known, *parsed(known))[2] is None


def test_a_few_step_lora_leaves_flux_its_guidance_and_its_sampler(flux, tmp_path):
    what = f"{flux}?lora=Hyper-FLUX.1-dev-8steps-lora.safetensors:0.125"
    loading, options, _ = few_steps.applied(what, *parsed(what))
    assert (options.steps, options.guidance, loading.sampler) == (8, Options().guidance, "")


def test_options_stand_behind_a_question_mark_and_are_checked(empty_cache):
    loading, options = parsed("sdxl?steps=12&guidance=5&sampler=Euler&lora=a.safetensors:0.8&lora=b.safetensors")
    repository = RECORDS["sdxl"].repository
    assert (loading.place, loading.kind, loading.revision) == (repository.name, "repository", repository.revision)
    assert loading.loras == (Weighted("a.safetensors", 0.8), Weighted("b.safetensors", 1.0))
    assert loading.sampler == "euler"
    assert options == Options(side=1024, steps=12, guidance=5.0)
    assert parsed("folder?negative=a+tree") == (Loading("folder", "folder"), Options(negative="a tree"))
    assert parsed("owner/name")[0] == Loading("owner/name", "repository")
    assert Weighted.read("lora", r"C:\looks\a.safetensors") == Weighted(r"C:\looks\a.safetensors", 1.0)
    for text, words in [
        ("x?stpes=3", "stpes"),
        ("x?steps=many", "many"),
        ("x?steps=0", "from 1 to 1000"),
        ("x?strength=2", "strength is 2"),
        ("x?guidance=nan", "guidance is nan"),
        ("x?tries=99", "from 1 to 16"),
        ("x?safety=maybe", "maybe"),
        ("x?quantised=3bit", "3bit"),
        ("x?lora=a.safetensors:9", "9"),
        ("x?lora=", "write lora=FILE"),
        ("x?adapter=a.safetensors", "reference=IMAGE"),
    ]:
        with pytest.raises(OutOfRange, match=words):
            parsed(text)


@pytest.mark.parametrize("text", ["model.ckpt", "sd15?lora=look.pt", "sd15?adapter=ip-adapter.bin:0.5&reference=a.png"])
def test_pickles_are_refused_by_their_names(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match="may hold a pickle"):
        parsed(text)


def test_other_drawing_options_run_what_is_loaded_and_other_loading_options_do_not(sd, look):
    def painter_of(query: str) -> object:
        return registry.load(f"latent:{sd}?{query}")._painter

    first = painter_of("steps=2")
    assert painter_of("steps=3&guidance=2&negative=fog&tries=1") is first
    others = [painter_of(query) for query in (f"lora={look}", f"lora={look}:0.5", "sampler=euler", "safety=off")]
    assert len({id(one) for one in [first, *others]}) == 5
