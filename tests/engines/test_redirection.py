"""Attention that looks away from the hole, against a slow twin that computes every weight."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")

from eraser.engines.redirection import (  # noqa: E402
    EVEN,
    EVEN_UNTIL,
    RedirectedAttention,
    Redirection,
    at_resolution,
    install,
    self_attention,
)

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]
HOLE = np.zeros((6, 10), bool)
HOLE[1:4, 2:7] = True


@pytest.fixture(scope="module")
def attention():
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(0)
    return Attention(query_dim=16, heads=2, dim_head=8).eval()


@pytest.fixture(scope="module")
def network():
    from tests.miniature_pipelines import network as made

    torch.manual_seed(0)
    return made(9).eval()


def tokens(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, HOLE.size, 16, generator=torch.Generator().manual_seed(1))


def processor(hole: np.ndarray, *, guided: bool, done: float = 0.9, share: float = 1.0) -> RedirectedAttention:
    here = threading.local()
    here.redirection = Redirection(hole, share, lambda: guided)
    here.redirection.done = done
    return RedirectedAttention(here=here, depth=1.0)


@torch.no_grad()
def slow(attention, states: torch.Tensor, hole: np.ndarray, even: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax of similarities with those to the hole's places at minus infinity: (result, weights (heads, N, N))."""
    flat = torch.from_numpy(hole.ravel())
    query, key, value = (part(states) for part in (attention.to_q, attention.to_k, attention.to_v))
    out, weights = [], []
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        alike = query[:, part] @ key[:, part].T / 8**0.5
        alike[flat] *= even
        alike[:, flat] = -torch.inf
        weights.append(torch.softmax(alike, dim=1))
        out.append(weights[-1] @ value[:, part])
    return attention.to_out[0](torch.cat(out, dim=1)), torch.stack(weights)


@pytest.mark.parametrize(("done", "even"), [(0.0, EVEN), (EVEN_UNTIL, 1.0)])
@torch.no_grad()
def test_the_half_that_follows_the_words_gives_the_hole_no_weight_and_the_other_half_is_left_alone(
    attention, done, even
):
    states = tokens()
    found = processor(HOLE, guided=True, done=done)(attention, states)
    expected, weights = slow(attention, states[1], HOLE, even)
    assert (weights[:, :, HOLE.ravel()] == 0).all()
    assert torch.allclose(weights.sum(dim=2), torch.ones(2, HOLE.size))
    assert torch.allclose(found[1], expected, atol=1e-5)
    assert torch.allclose(found[0], attention(states)[0], atol=1e-6)
    assert not torch.allclose(found[1], attention(states)[1], atol=1e-3)


@torch.no_grad()
def test_what_is_in_the_hole_reaches_no_other_place(attention):
    states, flat = tokens(), torch.from_numpy(HOLE.ravel())
    other = states.clone()
    other[:, flat] += 5
    look = processor(HOLE, guided=False)
    assert torch.equal(look(attention, states)[:, ~flat], look(attention, other)[:, ~flat])
    assert not torch.equal(attention(states)[:, ~flat], attention(other)[:, ~flat])


@torch.no_grad()
def test_without_guidance_all_of_the_batch_looks_away(attention):
    states = tokens(3)
    found = processor(HOLE, guided=False)(attention, states)
    for one, result in zip(states, found, strict=True):
        assert torch.allclose(result, slow(attention, one, HOLE, 1.0)[0], atol=1e-5)


@pytest.mark.parametrize("value", [True, False])
@torch.no_grad()
def test_a_hole_that_is_all_or_nothing_changes_no_bit(attention, value):
    states = tokens()
    found = processor(np.full(HOLE.shape, value), guided=True)(attention, states)
    assert torch.equal(found, attention(states))
    assert torch.isfinite(found).all()


@torch.no_grad()
def test_layers_that_are_not_meant_and_threads_without_a_run_change_no_bit(attention):
    states = tokens()
    assert torch.equal(RedirectedAttention(here=threading.local(), depth=1.0)(attention, states), attention(states))
    assert torch.equal(RedirectedAttention()(attention, states), attention(states))  # as diffusers makes one
    early = processor(HOLE, guided=True, share=0.4)
    early.depth = 0.6
    assert torch.equal(early(attention, states), attention(states))
    early.depth = 0.61
    assert not torch.equal(early(attention, states), attention(states))


@torch.no_grad()
def test_attention_to_words_is_not_touched():
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(0)
    cross = Attention(query_dim=16, cross_attention_dim=12, heads=2, dim_head=8).eval()
    words = torch.randn(2, 7, 12)
    states = tokens()
    assert torch.equal(processor(HOLE, guided=True)(cross, states, words), cross(states, words))


def test_a_hole_at_lower_resolutions_is_halved_as_strided_convolutions_do():
    for height, width in [(6, 10), (7, 9), (5, 16), (1, 1), (33, 20)]:
        hole = np.random.default_rng(height).random((height, width)) < 0.1
        values = torch.zeros(1, 1, height, width)
        while hole.size > 1:
            smaller = torch.nn.Conv2d(1, 1, 3, stride=2, padding=1)(values)
            values = smaller
            found = at_resolution(hole, smaller[0, 0].numel())
            assert found is not None
            assert found.shape == tuple(smaller.shape[2:])
            for row, column in np.ndindex(found.shape):
                assert found[row, column] == hole[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].any()
            hole = found
    assert at_resolution(HOLE, 7) is None
    assert at_resolution(HOLE, 61) is None


def test_the_last_half_of_the_layers_is_the_decoder_of_every_u_net(network):
    assert [layer is not None for layer in self_attention(network)] == [True] * 4
    named = {id(layer): name for name, layer in network.named_modules()}
    order = [named[id(layer)].split(".")[0] for layer in self_attention(network)]
    assert order == ["down_blocks", "mid_block", "up_blocks", "up_blocks"]
    # SDXL has 24 + 10 + 36 (the paper's 34 to 70), SD 1.5 6 + 1 + 9
    from eraser.engines.latent_records import Options

    for before, count in [(34, 36), (7, 9)]:
        depths = [(number + 1) / (before + count) for number in range(before + count)]
        assert sum(depth > 1 - Options().redirect for depth in depths) == count


def test_putting_it_in_twice_or_after_other_processors_wraps_each_layer_once(network):
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    here = threading.local()
    assert install(network, here) == install(network, here) == 4
    assert all(not isinstance(layer.processor.stock, RedirectedAttention) for layer in self_attention(network))
    network.set_attn_processor({name: type(old)() for name, old in network.attn_processors.items()})  # as adapters do
    install(network, here)
    assert all(layer.processor.here is here for layer in self_attention(network))
    network.set_attn_processor(AttnProcessor())  # as slicing does
    install(network, here)
    assert all(isinstance(layer.processor.stock, AttnProcessor) for layer in self_attention(network))
    network.set_attn_processor(AttnProcessor2_0())


@torch.no_grad()
def test_runs_of_one_network_at_once_do_not_disturb_each_other(network):
    here = threading.local()
    given = torch.randn(2, 9, 12, 20), torch.tensor(10), torch.randn(2, 5, 32)
    stock = network(*given).sample
    install(network, here)
    holes = [np.zeros((12, 20), bool) for _ in range(3)]
    holes[1][3:9, 4:12], holes[2][2:4, 15:19] = True, True

    def run(number: int) -> torch.Tensor:
        here.redirection = Redirection(holes[number], 0.51, lambda: True) if number else None
        with torch.no_grad():
            return network(*given).sample

    alone = [run(number) for number in range(3)]
    assert torch.equal(alone[0], stock)
    assert not torch.equal(alone[1], stock)
    assert not torch.equal(alone[1], alone[2])
    with ThreadPoolExecutor(3) as pool:
        for number, found in zip([0, 1, 2] * 4, pool.map(run, [0, 1, 2] * 4), strict=True):
            assert torch.allclose(found, alone[number], atol=1e-6)
    here.redirection = None
    assert torch.equal(network(*given).sample, stock)
