"""Training end to end on pictures whose best denoiser is known, and everything that a stopped run must keep."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from training import export, files, train  # noqa: E402
from training.gaussian import GaussianPictures  # noqa: E402
from training.model import PocketNet  # noqa: E402

TOY = train.PRESETS["toy"]
BRIEF = replace(TOY, phases=(train.Phase(640, 16, 32), train.Phase(10_000, 8, 64)), judged=8, report_every=320)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tests run beside each other
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    train.train(TOY, work=folder, out=folder / "out")
    return folder / "out"


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]


# --- the answer is known ---------------------------------------------------------------------------------------------


def test_closed_form_agrees_with_sampling_a_tiny_picture():
    """Importance sampling: prior samples given the known pixels, weighted by how well they explain the noisy ones."""
    source, random = GaussianPictures(), torch.Generator().manual_seed(0)
    size, sigma = 3, 0.6
    hole = torch.zeros(1, size, size)
    hole[:, 1, 1] = 1
    clean = torch.randn(3, size, size, generator=random) * 0.5
    noisy = clean + sigma * torch.randn(clean.shape, generator=random)
    inside = hole.expand_as(clean).flatten() > 0
    precision = torch.linalg.inv(source.covariance(size))
    spread = torch.linalg.inv(precision[inside][:, inside])
    mean = -spread @ precision[inside][:, ~inside] @ clean.flatten()[~inside].double()
    drawn = mean + torch.randn(400_000, 3, generator=random, dtype=torch.float64) @ torch.linalg.cholesky(spread).T
    fit = -((drawn - noisy.flatten()[inside]) ** 2).sum(1) / (2 * sigma**2)
    expected = (fit.softmax(0)[:, None] * drawn).sum(0)
    assert source.best_estimate(noisy, sigma, clean, hole).flatten()[inside] == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize(("sigma", "allowed"), [(0.3, 0.1), (1.0, 0.12), (3.0, 0.15), (10.0, 0.2)])
def test_training_comes_near_the_best_denoiser_there_is(trained, sigma, allowed):
    """The error against the closed form, as a share of what a net that answers nothing would have."""
    net, _ = export.trained_net(trained)
    source, random = GaussianPictures(), torch.Generator().manual_seed(5)
    clean, hole = source.draw(24, 16, random)
    noisy = clean + sigma * torch.randn(clean.shape, generator=random)
    best = torch.stack([source.best_estimate(noisy[i], sigma, clean[i], hole[i]) for i in range(24)])
    with torch.no_grad():
        answer = net(noisy, torch.full((24,), sigma), clean, hole)
    inside = hole.expand_as(clean) > 0
    assert ((answer - best)[inside] ** 2).mean() < allowed * (best[inside] ** 2).mean()


def test_fills_of_the_package_s_loop_scatter_around_the_closed_form_as_the_prior_does(trained):
    """Many fills of one hole: their mean is the conditional mean, their spread the conditional spread."""
    net, _ = export.trained_net(trained)
    source = GaussianPictures()
    clean, _ = source.draw(1, 16, torch.Generator().manual_seed(8))
    hole = torch.zeros(1, 1, 16, 16)
    hole[..., 5:11, 5:11] = 1
    count = 64
    filled = train.fill(
        net, clean.expand(count, -1, -1, -1), hole.expand(count, -1, -1, -1), 16, torch.Generator().manual_seed(9)
    )
    inside = hole.expand_as(clean)[0].flatten() > 0
    assert torch.equal(filled.flatten(1)[:, ~inside], clean.flatten()[~inside].expand(count, -1))
    covariance = source.covariance(16)
    gain = torch.linalg.solve(covariance[~inside][:, ~inside], covariance[~inside][:, inside]).T
    mean = (gain @ clean.flatten()[~inside].double()).float()
    deviation = (covariance[inside][:, inside] - gain @ covariance[~inside][:, inside]).diagonal().sqrt().float()
    found = filled.flatten(1)[:, inside]
    # the prior alone is 0.5 off; a mean of 64 fills can be known to an eighth of their deviation
    assert (found.mean(0) - mean).square().mean().sqrt() < 0.12
    assert found.std(0).mean() == pytest.approx(deviation.mean().item(), rel=0.2)


def test_statistics_tell_loss_throughput_and_utilisation(trained):
    rows = rows_of(trained)
    assert rows[0]["begin"] == 0
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.7 * losses[0]  # it begins at the smooth continuation, so there is less to gain
    for row in rows:
        if "loss" in row:
            assert row["images per second"] > 0
            assert 0 < row["utilisation"] < 2
    assert rows[-1]["end"] == TOY.phases[0].images
    assert any("held out" in row for row in rows[:-1])
    picture = np.asarray(Image.open(trained / "grid.png"))
    assert picture.shape == (8 * 16, 12 * 16, 3)
    assert picture.std() > 20


# --- stopping and going on --------------------------------------------------------------------------------------------


def weights_of(run: train.Run) -> list[torch.Tensor]:
    return [value for net in (run.net, *run.averages) for value in net.state_dict().values()]


def test_a_run_resumed_twice_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    dropping = replace(BRIEF, net=replace(BRIEF.net, dropout=0.2))
    whole = train.train(dropping, work=tmp_path / "whole", out=tmp_path / "whole", images=1200)
    for images in (320, 640, 768, 1200):  # the first phase ends at 640
        parts = train.train(dropping, work=tmp_path / "parts", out=tmp_path / "parts", images=images)
    assert (parts.images, parts.phase, parts.phase_images) == (whole.images, whole.phase, whole.phase_images)
    assert parts.phase == 1
    for a, b in zip(weights_of(whole), weights_of(parts), strict=True):
        assert torch.equal(a, b)


def test_a_run_stops_itself_at_its_limit_and_everything_is_there(tmp_path):
    run = train.train(BRIEF, work=tmp_path / "work", out=tmp_path / "out", minutes=0.02)
    assert 0 < run.images < 10_640
    weights, notes = files.read_pieces(tmp_path / "out")
    assert notes["counters"]["images"] == run.images
    assert notes["sources"] == {"drawn numbers": 0}
    assert notes["licence"]
    assert notes["settings"] == json.loads(json.dumps(BRIEF.to_dict()))
    assert json.loads((tmp_path / "out" / "settings.json").read_text()) == notes["settings"]
    assert weights.keys() == run.net.state_dict().keys()
    assert not list((tmp_path / "work").glob("*.part"))


def test_without_a_checkpoint_a_run_goes_on_from_averaged_weights(tmp_path):
    first = train.train(BRIEF, work=tmp_path / "a", out=tmp_path / "one", images=704)
    second = train.train(BRIEF, work=tmp_path / "b", out=tmp_path / "two", begin=tmp_path / "one", images=704)
    assert (second.images, second.phase, second.fresh) == (704, 1, 0)
    best = rows_of(tmp_path / "one")[-1]["average"]
    average = first.averages[BRIEF.averages.index(best)]
    for a, b in zip(average.state_dict().values(), second.net.state_dict().values(), strict=True):
        assert torch.allclose(a, b, atol=3e-3)  # halved and normalised again
    assert [row.get("begin") for row in rows_of(tmp_path / "two") if "begin" in row] == [0, 704]
    third = train.train(BRIEF, work=tmp_path / "b", out=tmp_path / "two", begin=tmp_path / "one", images=832)
    assert third.fresh == 128  # its own checkpoint counts more than where it began
    with torch.no_grad():
        assert all(torch.isfinite(value).all() for value in third.net.state_dict().values())


def test_a_finished_run_stays_as_it_is(tmp_path):
    brief = replace(BRIEF, phases=(train.Phase(64, 16, 32), train.Phase(64, 8, 64)))
    first = train.train(brief, work=tmp_path, out=tmp_path)
    again = train.train(brief, work=tmp_path, out=tmp_path)
    assert (first.images, again.images, again.finished) == (128, 128, True)
    for a, b in zip(weights_of(first), weights_of(again), strict=True):
        assert torch.equal(a, b)


def test_a_phase_can_be_gone_on_to_at_once(tmp_path):
    run = train.train(BRIEF, work=tmp_path, out=tmp_path, images=128, phase=1)
    assert (run.phase, run.images, run.phase_images) == (1, 128, 128)


def test_a_step_in_half_precision_is_one_graph_and_stays_near_single_precision():
    """Graph breaks are what makes a compiled run slow; this finds them without compiling anything."""
    losses = {}
    for half in (False, True):
        run = train.Run(replace(BRIEF, half=half, warm_up=64), torch.device("cpu"))
        run.net.train()
        asked = train.Questioned(run.net)
        if half:
            asked = torch.compile(asked, dynamic=False, fullgraph=True, backend="aot_eager")
        losses[half] = [float(train.step(run, asked, GaussianPictures())) for _ in range(16)]
    assert losses[True][-1] < 0.9 * losses[True][0]
    assert losses[True] == pytest.approx(losses[False], rel=0.02)


def test_another_net_s_checkpoint_is_refused(tmp_path):
    train.train(BRIEF, work=tmp_path, out=tmp_path, images=64)
    other = replace(BRIEF, net=replace(BRIEF.net, channels=(32, 32)))
    with pytest.raises(SystemExit, match="another net"):
        train.train(other, work=tmp_path, out=tmp_path, images=64)


def test_photographs_are_asked_for(tmp_path):
    with pytest.raises(SystemExit, match="--photos"):
        train.train(train.PRESETS["cpu"], work=tmp_path, out=tmp_path, images=1)


# --- pieces of arithmetic ---------------------------------------------------------------------------------------------


def test_power_exponents_are_the_paper_s():
    assert [round(train.power_exponent(width), 2) for width in (0.05, 0.10)] == [16.97, 6.94]


def test_the_learning_rate_rises_holds_and_falls():
    settings = train.PRESETS["gpu"]
    rate = [train.learning_rate(settings, n, n, 512) for n in (0, 199_488, 2_000_000, 8_000_000)]
    assert rate == pytest.approx([0.012 * 512 / 200_000, 0.012, 0.012, 0.006])
    assert train.learning_rate(settings, 0, 200_000, 128) == pytest.approx(0.006)


def test_a_net_that_says_nothing_has_error_one_at_every_noise_level():
    settings = TOY
    random = torch.Generator().manual_seed(0)
    hole = torch.zeros(4, 1, 32, 32)
    hole[:, :, 8:24, 8:24] = 1
    # 0 around, and so as smooth a continuation
    clean = settings.net.sigma_rest * torch.randn(4, 3, 32, 32, generator=random) * hole
    sigma = torch.tensor([0.05, 0.5, 2.0, 40.0])
    noisy = clean + sigma.view(-1, 1, 1, 1) * torch.randn(clean.shape, generator=random)
    with torch.no_grad():
        answer = PocketNet(settings.net).eval()(noisy, sigma, clean, hole)
    assert train.errors(settings, clean, answer, sigma, hole).tolist() == pytest.approx([1] * 4, rel=0.12)


def test_operations_are_those_of_the_convolutions_counted_by_hand():
    net = replace(TOY.net, attention=(False, False))
    grid, half = 8 * 8, 4 * 4
    by_hand = 9 * (41 * 32 + 2 * 32 * 32) * grid  # stem, first block
    by_hand += (32 * 64 + 9 * 2 * 64 * 64) * half  # down: skip, block
    by_hand += 64 * 32 * half + (64 * 32 + 9 * (64 * 32 + 32 * 32)) * grid  # lift, and the block going up
    by_hand += 9 * (32 + 41) * 12 * grid
    by_hand += 64 * 32 + 32 * (32 + 64 + 32 + 41)  # the noise level
    assert train.operations(net, 16) == 3 * 2 * by_hand
    assert math.isfinite(train.matrix_rate(torch.device("cpu"), torch.float32))


# --- carrying and exporting -------------------------------------------------------------------------------------------


def test_pieces_come_together_again_and_missing_ones_are_missed(tmp_path):
    weights = {f"w{i}": torch.randn(100, 100) for i in range(7)} | {"gain": torch.tensor(1.23456789)}
    paths = files.write_pieces(weights, {"run": 1}, tmp_path, limit=50_000)
    assert [path.stat().st_size < 52_000 for path in paths] == [True] * 4
    again, notes = files.read_pieces(tmp_path)
    assert notes == {"run": 1}
    assert again.keys() == weights.keys()
    assert all(torch.allclose(again[name], value, rtol=1e-3) for name, value in weights.items())
    assert again["gain"] == weights["gain"]
    paths[1].unlink()
    with pytest.raises(SystemExit, match="3 of 4 pieces"):
        files.read_pieces(tmp_path)


def test_pieces_of_two_runs_are_not_mixed(tmp_path):
    weights = {f"w{i}": torch.randn(100, 100) for i in range(4)}
    files.write_pieces(weights, {"run": 1}, tmp_path, limit=50_000)
    (tmp_path / "other").mkdir()
    files.write_pieces(weights, {"run": 2}, tmp_path / "other", limit=50_000)
    name = "pocket-1-of-2.safetensors"
    (tmp_path / "other" / name).replace(tmp_path / name)
    with pytest.raises(SystemExit, match="different runs"):
        files.read_pieces(tmp_path)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory) -> Path:
    pytest.importorskip("onnxruntime")
    net, notes = export.trained_net(trained)
    target = tmp_path_factory.mktemp("onnx") / "pocket.onnx"
    report = export.export(net, notes, target)
    assert report["largest difference"] < export.TOLERANCE
    return target


def test_the_exported_file_answers_as_torch_does_at_other_sizes(trained, exported):
    net, _ = export.trained_net(trained)
    inputs = export.example(20, 36, 3)
    (answer,) = export.session_of(str(exported)).run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        expected = net(*inputs.values()).numpy()
    assert np.abs(answer - expected).max() < 2e-3  # these weights are not rounded to half precision yet


def test_the_exported_file_tells_where_it_comes_from_and_is_half_as_large(trained, exported):
    notes = json.loads(export.session_of(str(exported)).get_modelmeta().custom_metadata_map["pocket"])
    assert notes["version"] == export.VERSION
    assert notes["stride"] == TOY.net.stride
    assert notes["licence"]
    assert notes["sources"]
    net, _ = export.trained_net(trained)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    assert exported.stat().st_size < 2 * parameters + 250_000


def test_a_file_that_disagrees_is_not_written(trained, exported, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported)
    weights = max(model.graph.initializer, key=lambda weights: len(weights.raw_data))
    values = onnx.numpy_helper.to_array(weights).copy()
    values[0] *= 1.5
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    monkeypatch.setattr(export, "to_onnx", lambda net: model)
    net, notes = export.trained_net(trained)
    with pytest.raises(SystemExit, match="differ"):
        export.export(net, notes, tmp_path / "pocket.onnx")
    assert not (tmp_path / "pocket.onnx").exists()
