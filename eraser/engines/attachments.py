"""What is put onto a loaded pipeline: a sampler, LoRA files, an IP-Adapter, a small decoder for previews."""

from __future__ import annotations

import copy
import inspect
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eraser import hub
from eraser.engines.latent_records import Options
from eraser.engines.loading import Loading, Weighted
from eraser.errors import DamagedWeights, EngineError, InputError, MissingWeights, OutOfRange
from eraser.tensor_files import tensors


@dataclass(frozen=True, slots=True)
class Sampler:
    diffusion: str  # diffusers' class for noise that is added; "" for none
    flow: str = ""  # for noise that is blended in, as the transformers were trained
    settings: dict[str, object] = field(default_factory=dict)


TRAILING: dict[str, object] = {"timestep_spacing": "trailing"}  # the last step is at full noise: for few steps
SAMPLERS = {
    "ddim": Sampler("DDIMScheduler"),
    "ddim-trailing": Sampler("DDIMScheduler", "", TRAILING),
    "ddpm": Sampler("DDPMScheduler"),
    "euler": Sampler("EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"),
    "euler-a": Sampler("EulerAncestralDiscreteScheduler"),
    "euler-trailing": Sampler("EulerDiscreteScheduler", "", TRAILING),
    "heun": Sampler("HeunDiscreteScheduler"),
    "lms": Sampler("LMSDiscreteScheduler"),
    "pndm": Sampler("PNDMScheduler", "", {"skip_prk_steps": True}),
    "dpmpp": Sampler("DPMSolverMultistepScheduler"),
    "dpmpp-karras": Sampler("DPMSolverMultistepScheduler", "", {"use_karras_sigmas": True}),
    "dpmpp-sde": Sampler("DPMSolverMultistepScheduler", "", {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": Sampler("UniPCMultistepScheduler"),
    "lcm": Sampler("LCMScheduler", "FlowMatchLCMScheduler"),
    "tcd": Sampler("TCDScheduler"),
}
# small decoders of the families' latents (2.4 M numbers instead of 84 M), by a word of the pipeline's class
TINY = (
    ("StableDiffusionXL", "madebyollin/taesdxl"),
    ("StableDiffusion3", "madebyollin/taesd3"),
    ("StableDiffusion", "madebyollin/taesd"),
    ("Flux", "madebyollin/taef1"),
    ("ZImage", "madebyollin/taef1"),
)
ADAPTERS = (
    ("StableDiffusionXL", "h94/IP-Adapter", "sdxl_models/ip-adapter_sdxl.safetensors"),
    ("StableDiffusionInpaint", "h94/IP-Adapter", "models/ip-adapter_sd15.safetensors"),
)
FAMILIES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}  # by width of words
CROSS = re.compile(r"attn2[._]to_[kv].*(lora_A|lora_down|lora\.down)\.weight")
OF_TRANSFORMER = re.compile(r"^(transformer\.|lora_transformer_|diffusion_model\.|lora_unet_(double|single|joint)_)")


def attach(pipeline: Any, loading: Loading, folder: Path) -> None:
    """Put on what `loading` asks for. folder: of the checkpoint, where a small decoder may lie."""
    if loading.sampler:
        set_sampler(pipeline, loading.sampler)
    add_loras(pipeline, loading)
    if loading.adapter is not None:
        add_adapter(pipeline, loading.adapter)
    # an attribute, not a part: what is offloaded in turn must not wait for previews
    object.__setattr__(pipeline, "tiny_vae", tiny_vae(pipeline, folder))


def set_sampler(pipeline: Any, name: str) -> None:
    import diffusers

    flows = type(pipeline.scheduler).__name__.startswith("FlowMatch")
    known = {key: of.flow if flows else of.diffusion for key, of in SAMPLERS.items()}
    choices = [key for key, kind in known.items() if kind]
    if name not in choices:
        raise OutOfRange(
            f'the sampler "{name}" is not one that {type(pipeline).__name__} draws with',
            hint=f"choose {', '.join(choices)}",
        )
    kind = getattr(diffusers, known[name])
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **({} if flows else SAMPLERS[name].settings))


def add_loras(pipeline: Any, loading: Loading) -> None:
    """LoRA files (Hu et al. 2021, arXiv:2106.09685), all of them added to the weights, so that steps cost no more."""
    names = []
    for number, lora in enumerate(loading.loras):
        file, name = Path(lora.file), f"lora{number}"
        if not hasattr(pipeline, "load_lora_weights"):
            raise EngineError(f"diffusers takes no LoRA for {type(pipeline).__name__}", hint="leave lora out")
        _check_family(pipeline, file)
        try:
            pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=name)
            fits = any(name in names for names in pipeline.get_list_adapters().values())
        except (RuntimeError, ValueError, KeyError, TypeError, IndexError) as error:
            raise _unfit(pipeline, file, " ".join(str(error).split())[:120]) from error
        if not fits:
            raise _unfit(pipeline, file, "none of its layers is one of the checkpoint's")
        names.append(name)
    if not names:
        return
    pipeline.set_adapters(names, [lora.weight for lora in loading.loras])
    if not loading.quantised:
        pipeline.fuse_lora(components=pipeline._lora_loadable_modules, adapter_names=names)
        pipeline.unload_lora_weights()


def _check_family(pipeline: Any, file: Path) -> None:
    held = tensors(file)
    if not any("lora" in name.lower() for name in held):
        raise EngineError(f"{file.name} is no LoRA: none of its {len(held)} tensors is one's", hint="name another file")
    unet = getattr(pipeline, "unet", None)
    if unet is None:
        if any(CROSS.search(name) for name in held):
            raise _unfit(pipeline, file, "it is for a U-Net, the checkpoint is a transformer")
        return
    if any(OF_TRANSFORMER.search(name) for name in held):
        raise _unfit(pipeline, file, "it is for a transformer, the checkpoint is a U-Net")
    width = next((tensor.shape[1] for name, tensor in held.items() if CROSS.search(name)), None)
    if width is not None and width != unet.config.cross_attention_dim:
        theirs, ours = (_family_name(number) for number in (width, unet.config.cross_attention_dim))
        raise _unfit(pipeline, file, f"it is for {theirs}, the checkpoint is {ours}")


def _family_name(width: int) -> str:
    return FAMILIES.get(width, f"a model of words {width} wide")


def _unfit(pipeline: Any, file: Path, reason: str) -> EngineError:
    return EngineError(
        f"the LoRA {file.name} does not fit a {type(pipeline).__name__}: {reason}",
        hint="take one that was made for this family",
    )


def add_adapter(pipeline: Any, adapter: Weighted) -> None:
    """An IP-Adapter (Ye et al. 2023, arXiv:2308.06721): words' attention gets a picture to look at beside them."""
    if "ip_adapter_image" not in inspect.signature(type(pipeline).__call__).parameters:
        raise EngineError(f"diffusers takes no reference picture for {type(pipeline).__name__}", hint="leave it out")
    file = _adapter_file(pipeline, adapter)
    held = tensors(file)
    parts: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    if {name.partition(".")[0] for name in held} != set(parts):
        raise EngineError(f"{file.name} is no IP-Adapter", hint="it holds tensors image_proj.* and ip_adapter.*")
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        for name in held:
            part, _, rest = name.partition(".")
            parts[part][rest] = opened.get_tensor(name)
    encoder = _image_encoder(pipeline, file)
    try:
        pipeline.register_modules(image_encoder=encoder, feature_extractor=_extractor(pipeline, encoder))
        pipeline.load_ip_adapter(parts, subfolder="", weight_name="", image_encoder_folder=None)
        pipeline.set_ip_adapter_scale(adapter.weight)
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError) as error:
        raise EngineError(
            f"the adapter {file.name} does not fit a {type(pipeline).__name__}: {' '.join(str(error).split())[:120]}",
            hint="take one that was made for this family",
        ) from error


def adapter_files(pipeline: Any, adapter: Weighted | None) -> dict[str, Path]:
    """What `add_adapter` reads, by names that do not tell where it lies."""
    if adapter is None:
        return {}
    file = _adapter_file(pipeline, adapter)
    encoder = _encoder_place(file)
    described = (path for pattern in ("*.safetensors", "*.json") for path in encoder.glob(pattern))
    return {f"adapter/{file.name}": file} | {f"adapter/image_encoder/{path.name}": path for path in sorted(described)}


def _adapter_file(pipeline: Any, adapter: Weighted) -> Path:
    return Path(adapter.file) if adapter.file else _own_adapter(pipeline)


def _own_adapter(pipeline: Any) -> Path:
    repository = next(((name, file) for word, name, file in ADAPTERS if word in type(pipeline).__name__), None)
    if repository is None:
        raise EngineError(f"no adapter is known for {type(pipeline).__name__}", hint="name one: adapter=FILE")
    name, file = repository
    found = hub.snapshot(name)
    if found is None or not (found / file).is_file():
        raise MissingWeights(
            f"{file} of {name}, which reads a reference picture, is not on this machine",
            hint=f"hf download {name} --include '{file}' '{file.rpartition('/')[0]}/image_encoder/*', or adapter=FILE",
        )
    return found / file


def _encoder_place(file: Path) -> Path:
    # a layout of its publishers: the larger encoder beside the XL adapters, the smaller one for all others
    places = [file.parent / "image_encoder", file.parent.parent / "models" / "image_encoder"]
    if "vit-h" in file.name:
        places.reverse()
    place = next((place for place in places if (place / "config.json").is_file()), None)
    if place is None:
        raise MissingWeights(
            f"the adapter {file.name} has no image encoder beside it", hint=f"put its folder to {places[0]}"
        )
    return place


def _image_encoder(pipeline: Any, file: Path) -> Any:
    from transformers import CLIPVisionModelWithProjection

    place = _encoder_place(file)
    try:
        return CLIPVisionModelWithProjection.from_pretrained(
            str(place), local_files_only=True, use_safetensors=True, dtype=pipeline.dtype
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DamagedWeights(f"{place} cannot be loaded: {reason}", hint="fetch it again, as safetensors") from error


def _extractor(pipeline: Any, encoder: Any) -> Any:
    """The safety checker's own cutting of pictures is the same, but for its size."""
    from transformers import CLIPImageProcessor

    side = encoder.config.image_size
    return pipeline.feature_extractor or CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )


def arguments(pipeline: Any, options: Options) -> dict[str, Any]:
    """What a call is given beside the scene and the words: guidance by the name that the pipeline has for it, and the
    reference picture. Raises InputError."""
    given: dict[str, Any] = {}
    accepts = inspect.signature(type(pipeline).__call__).parameters
    if "true_cfg_scale" in accepts and not getattr(pipeline.transformer.config, "guidance_embeds", False):
        given = {"true_cfg_scale": options.guidance, "guidance_scale": None}
    if options.reference:
        given["ip_adapter_image"] = picture(options.reference)
    return given


def unheard(pipeline: Any, options: Options) -> str:
    """Why a pipeline does not follow the negative words, as a sentence; "" where it does, or where there are none."""
    if not options.negative:
        return ""
    accepts = inspect.signature(type(pipeline).__call__).parameters
    guided = "negative_prompt" in accepts
    if "true_cfg_scale" in accepts:
        guided &= float(arguments(pipeline, replace(options, reference="")).get("true_cfg_scale", 1.0)) > 1
    elif guided:
        asked = copy.copy(pipeline)
        object.__setattr__(asked, "_guidance_scale", options.guidance)
        if getattr(asked, "do_classifier_free_guidance", True):
            return ""
        return f'the negative words "{options.negative}" are left out: at a guidance of {options.guidance:g} none count'
    if guided:
        return ""
    return f'the negative words "{options.negative}" are left out: {type(pipeline).__name__} follows none'


def picture(path: str) -> Any:
    """A reference as a PIL image in RGB, upright. Raises InputError."""
    from PIL import Image, ImageOps

    try:
        with Image.open(Path(path).expanduser()) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"the reference {path} cannot be read ({error})", hint="name a picture") from error


def tiny_vae(pipeline: Any, folder: Path) -> Any | None:
    """A decoder for previews that costs next to nothing, where one lies in the checkpoint's folder or the cache."""
    name = type(pipeline).__name__
    repository = next((repository for word, repository in TINY if word in name), None)
    places = [folder / "tiny_vae", *sorted(folder.glob("tae*")), repository and hub.snapshot(repository)]
    place = next((place for place in places if place and (place / "config.json").is_file()), None)
    if place is None:
        return None
    from diffusers import AutoencoderTiny

    try:
        tiny = AutoencoderTiny.from_pretrained(
            str(place), local_files_only=True, use_safetensors=True, dtype=pipeline.vae.dtype
        )
    except Exception:  # previews are not worth an error: the large decoder does
        return None
    same = tiny.config.latent_channels == getattr(pipeline.vae.config, "latent_channels", None)
    return tiny if same else None
