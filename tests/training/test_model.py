"""The net's layers keep what they promise, whatever the weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from training.layers import Weights, mix, silu, unit  # noqa: E402
from training.model import NetSettings, PocketNet  # noqa: E402
from training.smooth import continued  # noqa: E402
from training.train import PRESETS, operations  # noqa: E402

SMALL = NetSettings(channels=(16, 32, 32), blocks=(1, 2, 1), attention=(False, True, True), embedding=32, head=16)


@pytest.fixture
def net() -> PocketNet:
    torch.manual_seed(1)
    net = PocketNet(SMALL).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("gain"):  # 0 at the start, which would hide everything behind it
                parameter.fill_(0.5)
    return net


def inputs(height: int = 24, width: int = 40, batch: int = 2) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(height)
    noisy, known = (torch.randn(batch, 3, height, width, generator=random) for _ in range(2))
    hole = (torch.rand(batch, 1, height, width, generator=random) > 0.5).float()
    return noisy, torch.tensor([0.3, 4.0][:batch]), known, hole


def test_layers_keep_the_size_of_unit_noise():
    random = torch.Generator().manual_seed(3)
    x, y = (torch.randn(4, 64, 32, 32, generator=random) for _ in range(2))
    layer = Weights(64, 96, 3)
    with torch.no_grad():
        sizes = [part.square().mean().sqrt().item() for part in (silu(x), mix(x, y, 0.3), unit(5 * x), layer(x))]
    # the last one loses a little at the zeros around the picture
    assert sizes == pytest.approx([1, 1, 1, 0.97], abs=0.03)


def test_weights_grown_a_hundredfold_change_nothing():
    layer = Weights(8, 4, 3)
    x = torch.randn(1, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = layer(x)
        layer.weight *= 100
        assert torch.allclose(layer(x), before, rtol=1e-3, atol=1e-4)


def test_what_stands_under_the_hole_and_what_noise_lies_outside_do_not_matter(net):
    noisy, sigma, known, hole = inputs()
    with torch.no_grad():
        answer = net(noisy, sigma, known, hole) * hole
        other = net(noisy + 7 * (1 - hole), sigma, known - 3 * hole, hole) * hole
    assert torch.equal(answer, other)
    with torch.no_grad():
        assert not torch.allclose(net(noisy, sigma, known + 0.3, hole) * hole, answer, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 64), (40, 24)])
def test_any_multiple_of_the_stride_is_taken(net, height, width):
    assert SMALL.stride == 8
    with torch.no_grad():
        assert net(*inputs(height, width)).shape == (2, 3, height, width)


def test_pictures_of_a_batch_do_not_touch_each_other(net):
    noisy, sigma, known, hole = inputs()
    with torch.no_grad():
        together = net(noisy, sigma, known, hole)
        alone = torch.cat([net(noisy[i : i + 1], sigma[i : i + 1], known[i : i + 1], hole[i : i + 1]) for i in (0, 1)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_folded_weights_answer_the_same(net):
    with torch.no_grad():
        before = net(*inputs())
        assert torch.allclose(net.fold()(*inputs()), before, atol=1e-5)


def test_an_untrained_net_continues_smoothly_and_trusts_noise_as_far_as_a_linear_estimate_would():
    net = PocketNet(SMALL).eval()
    noisy, sigma, known, hole = inputs()
    with torch.no_grad():
        answer = net(noisy, sigma, known, hole)
    smooth = continued(known * (1 - hole), 1 - hole, 3)
    trust = 0.09 / (0.09 + sigma.view(-1, 1, 1, 1) ** 2)
    assert torch.allclose(answer, smooth + trust * (noisy - smooth), atol=1e-5)


def test_the_shipped_size_fits_its_budget():
    net = PRESETS["gpu"].net
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in PocketNet(net).parameters())
    assert 10e6 < parameters < 30e6
    assert 2 * parameters < 60e6  # bytes in half precision
    # at some 350 GFLOP/s of two processors, 16 evaluations at 256 pixels stay under 4 s
    assert operations(net, 256) / 3 < 60e9
