"""Miniature diffusers checkpoints with random weights, saved in the real folder format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIDE = 32  # pixels that the miniatures are said to be trained at
UNMARKED = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def tokenizer(folder: Path) -> Any:
    """A byte-level CLIP tokenizer without merges."""
    from transformers import CLIPTokenizer

    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = [*map(chr, printable), *(chr(256 + number) for number in range(len(others)))]
    entries = [*symbols, *(symbol + "</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({entry: number for number, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True, model_max_length=77)


def text_encoder(tokens: Any, *, projects: bool = False, width: int = 32) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=width,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=32,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projects else CLIPTextModel)(config)


def autoencoder() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=8,
    )


def scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def network(channels: int, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    settings = {"cross_attention_dim": 32, "attention_head_dim": 8} | more
    return UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=channels,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        **settings,
    )


def stable_diffusion(folder: Path, *, channels: int = 9, inpaints: bool = True) -> Path:
    """Stable Diffusion 1.5: 9 channels are an inpainting model's, 4 a base model's."""
    import diffusers
    import torch

    torch.manual_seed(0)
    tokens = tokenizer(folder.with_name(folder.name + "-tokens"))
    kind = diffusers.StableDiffusionInpaintPipeline if inpaints else diffusers.StableDiffusionPipeline
    kind(
        vae=autoencoder(),
        text_encoder=text_encoder(tokens),
        tokenizer=tokens,
        unet=network(channels),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def stable_diffusion_xl(folder: Path) -> Path:
    import diffusers
    import torch

    torch.manual_seed(0)
    tokens = tokenizer(folder.with_name(folder.name + "-tokens"))
    unet = network(
        9,
        cross_attention_dim=80,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=80,
    )
    diffusers.StableDiffusionXLInpaintPipeline(
        vae=autoencoder(),
        text_encoder=text_encoder(tokens),
        text_encoder_2=text_encoder(tokens, projects=True, width=48),  # by which single files tell it from the first
        tokenizer=tokens,
        tokenizer_2=tokens,
        unet=unet,
        scheduler=scheduler(),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def flux_base(folder: Path) -> Path:
    return flux_fill(folder, channels=8, kind="FluxPipeline")


def flux_fill(folder: Path, *, channels: int = 20, kind: str = "FluxFillPipeline") -> Path:
    """20 channels are told the hole, 8 are a base model's."""
    import diffusers
    import torch

    torch.manual_seed(0)
    tokens = tokenizer(folder.with_name(folder.name + "-tokens"))
    encoder, letters = t5(folder.with_name(folder.name + "-words.json"))
    getattr(diffusers, kind)(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=diffusers.AutoencoderKL(
            block_out_channels=(4,),
            latent_channels=2,
            layers_per_block=1,
            norm_num_groups=1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.0609,
            scaling_factor=1.5035,
        ),
        text_encoder=text_encoder(tokens),
        tokenizer=tokens,
        text_encoder_2=encoder,
        tokenizer_2=letters,
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=channels,
            out_channels=8,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            guidance_embeds=True,
            axes_dims_rope=(4, 4, 8),
        ),
    ).save_pretrained(folder)
    return folder


def t5(file: Path, width: int = 32) -> tuple[Any, Any]:
    """A T5 encoder, and a tokenizer of letters whose file is written on the way."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    letters = [(chr(code), -3.0) for code in range(33, 127)]
    words = Tokenizer(
        models.Unigram([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *letters], unk_id=2)
    )
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.save(str(file))
    config = T5Config(vocab_size=128, d_model=width, d_kv=8, d_ff=37, num_layers=1, num_heads=2)
    return T5EncoderModel(config), T5TokenizerFast(tokenizer_file=str(file), extra_ids=0)


def flow() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=3.0)


def shifted_autoencoder(channels: int) -> Any:
    """As the transformers have: without the layers around the latents, and with a shift of them."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        layers_per_block=1,
        norm_num_groups=2,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.0609,
        scaling_factor=1.5035,
    )


def stable_diffusion_35(folder: Path) -> Path:
    import diffusers
    import torch

    torch.manual_seed(0)
    tokens = tokenizer(folder.with_name(folder.name + "-tokens"))
    # as wide as both CLIP encoders together are
    encoder, letters = t5(folder.with_name(folder.name + "-words.json"), 64)
    diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=SIDE // 2,
            in_channels=16,  # the pipeline takes no other number
            out_channels=16,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=64,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            qk_norm="rms_norm",
        ),
        scheduler=flow(),
        vae=shifted_autoencoder(16),
        text_encoder=text_encoder(tokens, projects=True),
        tokenizer=tokens,
        text_encoder_2=text_encoder(tokens, projects=True),
        tokenizer_2=tokens,
        text_encoder_3=encoder,
        tokenizer_3=letters,
    ).save_pretrained(folder)
    return folder


def byte_tokenizer() -> Any:
    from transformers import Qwen2Tokenizer

    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = [*map(chr, printable), *(chr(256 + number) for number in range(len(others)))]
    entries = [*symbols, "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = Qwen2Tokenizer(vocab={entry: number for number, entry in enumerate(entries)}, merges=[])
    tokens.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return tokens


def qwen_image(folder: Path) -> Path:
    import diffusers
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1000000.0}
    words = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sight = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    config = Qwen2_5_VLConfig(
        text_config=words | UNMARKED | {"num_key_value_heads": 2, "vocab_size": 300, "rope_parameters": rope},
        vision_config=sight,
        **{f"{name}_token_id": 290 + number for number, name in enumerate(("image", "video", "vision_start"))},
        vision_end_token_id=293,
    )
    diffusers.QwenImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 2],
            num_res_blocks=1,
            temperal_downsample=[True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=byte_tokenizer(),
        transformer=diffusers.QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(4, 6, 6),
        ),
    ).save_pretrained(folder)
    return folder


def z_image(folder: Path) -> Path:
    import diffusers
    import torch
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    words = Qwen3Config(
        **UNMARKED,
        vocab_size=300,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
    )
    diffusers.ZImagePipeline(
        scheduler=flow(),
        vae=shifted_autoencoder(4),
        text_encoder=Qwen3Model(words),
        tokenizer=byte_tokenizer(),
        transformer=diffusers.ZImageTransformer2DModel(
            all_patch_size=(2,),
            all_f_patch_size=(1,),
            in_channels=4,
            dim=32,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=16,
            axes_dims=[4, 6, 6],
            axes_lens=[1024, 64, 64],
        ),
    ).save_pretrained(folder)
    return folder
