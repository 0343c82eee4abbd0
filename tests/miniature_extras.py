"""What goes with checkpoints, in miniature and in the real file formats: single files, LoRAs, adapters, decoders."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from tests import miniature_pipelines as made

PARTS = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0"} | {
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"} | {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
}
LAYERS = 1  # residual blocks per level of the miniature U-Net


def single_file(folder: Path, file: Path) -> Path:
    """A folder of stable_diffusion as one file, in the layout of the first releases (latent-diffusion's own)."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextModel

    unet = UNet2DConditionModel.from_pretrained(str(folder), subfolder="unet", local_files_only=True)
    vae = AutoencoderKL.from_pretrained(str(folder), subfolder="vae", local_files_only=True)
    words = CLIPTextModel.from_pretrained(str(folder), subfolder="text_encoder", local_files_only=True)
    held = {f"model.diffusion_model.{of_unet(name)}": value for name, value in unet.state_dict().items()}
    held |= {f"first_stage_model.{of_vae(name)}": value for name, value in vae.state_dict().items()}
    for name, value in words.state_dict().items():
        long = name if name.startswith("text_model.") else f"text_model.{name}"
        held[f"cond_stage_model.transformer.{long}"] = value
    for name in [name for name in held if re.search(r"mid\.attn_1\.(q|k|v|proj_out)\.weight", name)]:
        held[name] = held[name][:, :, None, None]  # they were convolutions once
    save_file({name: value.contiguous() for name, value in held.items()}, file)
    return file


def single_file_xl(folder: Path, file: Path) -> Path:
    """A folder of stable_diffusion_xl as one file: its second words' encoder in OpenCLIP's layout."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    given: dict[str, Any] = {"local_files_only": True}
    unet = UNet2DConditionModel.from_pretrained(str(folder), subfolder="unet", **given)
    vae = AutoencoderKL.from_pretrained(str(folder), subfolder="vae", **given)
    first = CLIPTextModel.from_pretrained(str(folder), subfolder="text_encoder", **given)
    second = CLIPTextModelWithProjection.from_pretrained(str(folder), subfolder="text_encoder_2", **given)
    held = {}
    for name, value in unet.state_dict().items():
        added = re.sub(r"add_embedding\.linear_(\d)", lambda m: f"label_emb.0.{2 * int(m[1]) - 2}", name)
        held[f"model.diffusion_model.{added if added != name else of_unet(name)}"] = value
    held |= {f"first_stage_model.{of_vae(name)}": value for name, value in vae.state_dict().items()}
    for name in [name for name in held if re.search(r"mid\.attn_1\.(q|k|v|proj_out)\.weight", name)]:
        held[name] = held[name][:, :, None, None]
    for name, value in first.state_dict().items():
        long = name if name.startswith("text_model.") else f"text_model.{name}"
        held[f"conditioner.embedders.0.transformer.{long}"] = value
    fused: dict[str, dict[str, Any]] = {}
    for name, value in second.state_dict().items():
        name = name.removeprefix("text_model.")
        if part := re.fullmatch(r"(encoder\.layers\.\d+\.self_attn)\.([qkv])_proj\.(weight|bias)", name):
            fused.setdefault(f"{of_open_clip(part[1])}.in_proj_{part[3]}", {})[part[2]] = value
        elif name == "text_projection.weight":
            held["conditioner.embedders.1.model.text_projection"] = value.T
        else:
            held[f"conditioner.embedders.1.model.{of_open_clip(name)}"] = value
    for name, parts in fused.items():
        held[f"conditioner.embedders.1.model.{name}"] = torch.cat([parts[one] for one in "qkv"])
    save_file({name: value.contiguous() for name, value in held.items()}, file)
    return file


def of_open_clip(name: str) -> str:
    for new, old in {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm": "ln_final",
        "encoder.layers": "transformer.resblocks",
        "self_attn": "attn",
        "layer_norm": "ln_",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }.items():
        name = name.replace(new, old)
    return name


def of_unet(name: str) -> str:
    for new, old in ENDS.items():
        if name.startswith(new + "."):
            return old + name.removeprefix(new)
    level, kind, number, rest = re.fullmatch(
        r"(down_blocks\.\d+|mid_block|up_blocks\.\d+)\.(\w+)\.(\d+)\.(.*)", name
    ).groups()
    number = int(number)
    if kind == "resnets":
        part, _, last = rest.partition(".")
        rest = f"{PARTS[part]}.{last}"
    if level == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else 2 * number}.{rest}"
    block = int(level.rpartition(".")[2])
    if level.startswith("down"):
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * (LAYERS + 1)}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{1 + block * (LAYERS + 1) + number}.{int(kind == 'attentions')}.{rest}"
    if kind == "upsamplers":  # after the attention, where there is one
        return f"output_blocks.{block * (LAYERS + 1) + LAYERS}.{2 if block == 0 else 1}.{rest}"
    return f"output_blocks.{block * (LAYERS + 1) + number}.{int(kind == 'attentions')}.{rest}"


def of_vae(name: str) -> str:
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{1 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{1 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("conv_shortcut", "nin_shortcut")
    for new, old in {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}.items():
        name = name.replace(f"attn_1.{new}.", f"attn_1.{old}.")
    return name.replace("conv_norm_out", "norm_out")


def lora(folder: Path, file: Path, *, strength: float = 0.5) -> Path:
    """A LoRA for the denoiser of a checkpoint's folder, as diffusers saves one."""
    import diffusers
    import torch
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline = diffusers.DiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    part = "unet" if hasattr(pipeline, "unet") else "transformer"
    net = getattr(pipeline, part)
    torch.manual_seed(1)
    net.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, strength)
    type(pipeline).save_lora_weights(
        str(file.parent), **{f"{part}_lora_layers": get_peft_model_state_dict(net)}, weight_name=file.name
    )
    return file


def adapter(file: Path, *, width: int = 32, layers: int = 4) -> Path:
    """An IP-Adapter for the miniature U-Net, with its image encoder beside it. layers: of attention to words."""
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(2)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=1,
        num_attention_heads=4,
        image_size=32,
        patch_size=16,
        projection_dim=32,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(file.parent / "image_encoder")
    held = {
        "image_proj.proj.weight": torch.randn(4 * width, 32) * 0.3,
        "image_proj.proj.bias": torch.zeros(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    for number, features in enumerate([64] * layers):
        for part in ("to_k_ip", "to_v_ip"):
            held[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(features, width) * 0.3
    save_file(held, file)
    return file


def tiny_decoder(folder: Path, *, channels: int = 4) -> Path:
    """As the small autoencoders for previews are released."""
    from diffusers import AutoencoderTiny

    AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=channels,
    ).save_pretrained(folder)
    return folder


def checked(folder: Path, copy: Path) -> Path:
    """A copy of a checkpoint's folder that carries a safety checker."""
    import diffusers
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    sides: dict[str, Any] = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    sight = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
    words = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = CLIPConfig(
        text_config=words | made.UNMARKED | {"vocab_size": 300},
        vision_config=sight | {"image_size": 32, "patch_size": 16, "projection_dim": 32},
        projection_dim=32,
    )
    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pretrained(str(folder), local_files_only=True)
    pipeline.register_modules(
        safety_checker=StableDiffusionSafetyChecker(config), feature_extractor=CLIPImageProcessor(**sides)
    )
    pipeline.save_pretrained(copy)
    return copy


def in_cache(cache: Path, name: str, folder: Path, commit: str = "0" * 40) -> Path:
    """A copy of a folder as the hub's cache holds the repository `name`."""
    shelf = cache / ("models--" + name.replace("/", "--"))
    (shelf / "refs").mkdir(parents=True, exist_ok=True)
    (shelf / "refs" / "main").write_text(commit)
    shutil.copytree(folder, shelf / "snapshots" / commit)
    return shelf / "snapshots" / commit
