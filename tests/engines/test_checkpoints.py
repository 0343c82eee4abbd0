"""Latent checkpoints are loaded as they are released, with what is put onto them; what cannot be is told."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eraser import hub
from eraser.engines import few_steps, registry
from eraser.engines.latent_records import RECORDS, Options, parsed
from eraser.engines.loading import Loading, Weighted
from eraser.errors import DamagedWeights, EngineError, InputError, MissingExtra, MissingWeights, OutOfRange

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
diffusers = pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines import attachments  # noqa: E402
from eraser.engines.painter import Painter, Scene, Wish  # noqa: E402
from tests import miniature_extras as extras  # noqa: E402
from tests import miniature_pipelines as made  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

SCENE = Scene(np.zeros((32, 32, 3), np.float32), np.pad(np.ones((12, 12), bool), 10), 32, 32)
FAMILIES = {
    "sd15": made.stable_diffusion,
    "sdxl": made.stable_diffusion_xl,
    "sd35": made.stable_diffusion_35,
    "flux-fill": made.flux_fill,
    "qwen-image": made.qwen_image,
    "z-image": made.z_image,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def sd(shelf) -> Path:
    return made.stable_diffusion(shelf / "sd")


@pytest.fixture(scope="module")
def flux(shelf) -> Path:
    return made.flux_fill(shelf / "flux")


@pytest.fixture(scope="module")
def look(shelf, sd) -> Path:
    return extras.lora(sd, shelf / "look.safetensors")


@pytest.fixture(scope="module")
def one_file(shelf, sd) -> Path:
    (shelf / "files").mkdir()
    return extras.single_file(sd, shelf / "files" / "one.safetensors")


@pytest.fixture(scope="module")
def adapter(shelf) -> Path:
    (shelf / "adapter").mkdir()
    return extras.adapter(shelf / "adapter" / "ip-adapter.safetensors")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def copied(folder: Path, place: Path) -> Path:
    shutil.copytree(folder, place)
    return place


def drawing(what: Loading | Path | Painter, seed: int = 1, **options: object) -> np.ndarray:
    if isinstance(what, Path):
        what = Loading(str(what), "folder")
    painter = what if isinstance(what, Painter) else Painter(what)
    steps = painter.steps(
        SCENE, Wish("a door", "fog", (seed,), 0.99), Options(**{"steps": 2, "guidance": 2.0} | options)
    )
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            picture: np.ndarray = finished.value[0]
            return picture


@pytest.fixture(scope="module")
def plain(sd) -> np.ndarray:
    return drawing(sd)


# --- families ---------------------------------------------------------------------------------------------------------


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


# --- single files -----------------------------------------------------------------------------------------------------


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


# --- what is put on ---------------------------------------------------------------------------------------------------


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


# --- few steps --------------------------------------------------------------------------------------------------------


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


# --- options ----------------------------------------------------------------------------------------------------------


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


# --- what cannot be loaded --------------------------------------------------------------------------------------------


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
    assert told.value.hint == "pip install 'magic-eraser[diffusion]'"


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
    registry._load.cache_clear()
    for name in ("latent:sd15", "latent:somewhere"):
        with pytest.raises(MissingExtra, match="is not installed"):
            registry.load(name)
