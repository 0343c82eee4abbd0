"""What a checkpoint needs is estimated from what is really computed."""

from __future__ import annotations

import pytest

from tests.engines.networks import ON_NETWORKS

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
diffusers = pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines.devices import CPU  # noqa: E402
from eraser.engines.memory_needs import decoding, drawing, needs  # noqa: E402
from eraser.engines.placement import Placed  # noqa: E402

pytestmark = ON_NETWORKS


def alive_at_most(work) -> int:
    """Bytes of tensors that `work` holds at a time at most, counted without computing anything."""
    import weakref

    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Count(TorchDispatchMode):
        now = most = 0

        def __torch_dispatch__(self, function, types, given=(), named=None):
            result = function(*given, **(named or {}))
            for tensor in tree_leaves(result):
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    if storage._cdata not in self.known:
                        self.known.add(storage._cdata)
                        self.now += storage.nbytes()
                        self.most = max(self.most, self.now)
                        weakref.finalize(storage, self.gone, storage._cdata, storage.nbytes())
            return result

        def gone(self, key: int, size: int) -> None:
            self.known.discard(key)
            self.now -= size

    count = Count()
    count.known = set()
    with torch.inference_mode(), count:
        work()
    return count.most


SIDE = 512


def unet_step() -> tuple[int, int]:
    with torch.device("meta"):
        net = diffusers.UNet2DConditionModel(in_channels=9, cross_attention_dim=768, sample_size=64).half().eval()
        given = (torch.zeros(2, 9, 64, 64).half(), torch.tensor(1.0), torch.zeros(2, 77, 768).half())
    return alive_at_most(lambda: net(*given)), drawing(net, SIDE, 8, 2)


def transformer_step() -> tuple[int, int]:
    with torch.device("meta"):
        net = diffusers.SD3Transformer2DModel(sample_size=64, num_layers=4).bfloat16().eval()
        given = {
            "hidden_states": torch.zeros(2, 16, 64, 64).bfloat16(),
            "encoder_hidden_states": torch.zeros(2, 333, 4096).bfloat16(),
            "pooled_projections": torch.zeros(2, 2048).bfloat16(),
            "timestep": torch.zeros(2),
        }
    return alive_at_most(lambda: net(**given)), drawing(net, SIDE, 8, 2)


def decoded() -> tuple[int, int]:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    with torch.device("meta"):
        vae = diffusers.AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **blocks)
        vae = vae.half().eval()
        latents = torch.zeros(1, 4, 64, 64).half()
    return alive_at_most(lambda: vae.decode(latents)), decoding(vae.config, SIDE, 2)


@pytest.mark.parametrize("measure", [unet_step, transformer_step, decoded])
def test_estimates_of_what_is_computed_are_enough_and_not_three_times_too_much(measure):
    counted, estimated = measure()
    print(f"{measure.__name__}: counted {counted / 1e6:.0f} MB, estimated {estimated / 1e6:.0f} MB")
    assert counted > 10e6
    assert counted <= estimated <= 3 * counted


def test_needs_count_the_weights_exactly(sd):
    placed = Placed(sd, CPU)
    for name, size in placed.needs.parts.items():
        part = placed.pipeline.components[name]
        assert size == sum(t.nbytes for t in [*part.parameters(), *part.buffers()])
    assert needs(placed.pipeline, 1024).decoding > needs(placed.pipeline, 1024).tile
