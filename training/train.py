"""Train the pocket model. This file reads from top to bottom.

    python -m training.train --preset gpu --photos PACK.zip --work WORK --out OUT --minutes 8

The same command goes on where the last one stopped: from WORK's checkpoint, or else, with --begin, from the averaged
weights of an earlier run. OUT gets what is worth keeping, in files small enough to be carried: the averaged weights in
pieces, settings.json, stats.jsonl and grid.png, which shows held-out photographs filled.

Progress is counted in images seen. All randomness of a step comes from the seed and that count, so a run that was
interrupted draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from eraser.sampling import sample
from eraser.schedule import karras
from training import photos
from training.files import read_pieces, write_pieces
from training.gaussian import GaussianPictures
from training.model import NetSettings, PocketNet
from training.views import PhotoViews, Source

# --- 1. What is trained, for how long ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    images: int
    size: int  # pixels along the views' sides
    batch: int


@dataclass(frozen=True)
class Settings:
    name: str
    phases: tuple[Phase, ...]
    net: NetSettings = field(default_factory=NetSettings)
    source: str = "photos"  # or "gaussian"
    learning_rate: float = 0.012  # at `reference_batch`, and as the root of a phase's batch to it
    reference_batch: int = 512
    warm_up: int = 60_000  # images over which the learning rate rises, at the start and when a run begins anew
    steady: int = 2_000_000  # images after which it falls as one over the root of the images seen (Karras et al. 2024)
    noise_middle: float = -0.4  # of the logarithm of sigma at 64 pixels; larger views get more noise, in proportion:
    noise_spread: float = 1.6  # what a pixel says by itself, its neighbours say too (Hoogeboom et al. 2023)
    averages: tuple[float, ...] = (0.05, 0.10)  # widths of the weights' averages, as shares of the run so far
    known_share: float = 0.02  # how much of the loss the known pixels count: enough to keep the rim honest
    half: bool = False  # bfloat16 between the first and the last layer
    compiled: bool = False
    report_every: int = 50_000  # images
    judge_every: int = 750_000
    judged: int = 256  # held-out views
    fill_steps: int = 16
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


SMALL = NetSettings(channels=(32, 96, 160, 192), embedding=128, head=32, dropout=0.0)

PRESETS = {
    settings.name: settings
    for settings in [
        # a distribution with a known answer, for the tests
        Settings(
            name="toy",
            source="gaussian",
            net=NetSettings(
                channels=(32, 64), blocks=(1, 1), attention=(False, True), embedding=32, head=32, dropout=0
            ),
            phases=(Phase(40_000, 16, 64),),
            learning_rate=0.02,
            reference_batch=64,
            warm_up=2_000,
            steady=12_000,
            noise_middle=1.7,
            report_every=4_000,
            judge_every=20_000,
            judged=32,
        ),
        # two processors and a night: a quarter of an hour at 32 pixels, the rest at 64
        Settings(
            name="cpu",
            net=SMALL,
            phases=(Phase(250_000, 32, 128), Phase(2_000_000, 64, 64)),
            learning_rate=0.015,
            reference_batch=32,
            warm_up=8_000,
            steady=60_000,
            noise_middle=0.4,
            noise_spread=1.4,
            half=True,
            compiled=True,
            report_every=6_400,
            judge_every=64_000,
            judged=64,
        ),
        # ten minutes of a large GPU
        Settings(
            name="gpu-10min",
            phases=(Phase(5_000_000, 64, 512), Phase(1_200_000, 128, 256)),
            warm_up=200_000,
            half=True,
            compiled=True,
        ),
        # half an hour of one: training/README.md has the sums
        Settings(
            name="gpu",
            phases=(Phase(8_000_000, 64, 512), Phase(2_600_000, 128, 256), Phase(1_100_000, 192, 128)),
            warm_up=200_000,
            half=True,
            compiled=True,
        ),
    ]
}


# --- 2. What is asked of the net --------------------------------------------------------------------------------------


def noise_levels(settings: Settings, batch: int, size: int, random: torch.Generator) -> Tensor:
    """(B,) sigmas: log-normal, and larger for larger views."""
    middle = settings.noise_middle + math.log(size / 64)
    return torch.exp(middle + settings.noise_spread * torch.randn(batch, generator=random, device=random.device))


def errors(settings: Settings, clean: Tensor, estimate: Tensor, sigma: Tensor, hole: Tensor) -> Tensor:
    """(B,) mean squared errors, so weighted that a net that knows nothing is at 1 for every noise level.

    Karras et al. 2022, eq. 8. The hole's pixels count, those around it hardly: they are given back by the sampling
    loop whatever the net says of them.
    """
    data = settings.net.sigma_rest
    weight = hole + settings.known_share * (1 - hole)
    squares = (weight * (estimate - clean) ** 2).sum((1, 2, 3)) / (3 * weight.sum((1, 2, 3)))
    return squares * (sigma**2 + data**2) / (sigma * data) ** 2


def loss_of(settings: Settings, net: Any, clean: Tensor, hole: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Noise levels are tasks of unlike difficulty; each is weighted by how well it can be done (Karras et al. 2024,
    eq. 21). Views with larger holes say more and count more, as the root of the hole's share."""
    estimate, doubt = net(clean + sigma.view(-1, 1, 1, 1) * noise, sigma, clean, hole)
    size = hole.mean((1, 2, 3)).sqrt()
    terms = errors(settings, clean, estimate, sigma, hole) / doubt.exp() + doubt
    return (size * terms).sum() / size.sum()


class Questioned(torch.nn.Module):
    """The net with its own doubt: log of the error that it expects at a noise level. What is compiled."""

    def __init__(self, net: PocketNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, noisy: Tensor, sigma: Tensor, known: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(noisy, sigma, known, hole), self.net.doubt(sigma)


# --- 3. The state of a run --------------------------------------------------------------------------------------------


class Run:
    """Everything that a checkpoint holds."""

    def __init__(self, settings: Settings, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        self.net = PocketNet(settings.net).to(device, memory_format=torch.channels_last)
        self.net.precision = torch.bfloat16 if settings.half else torch.float32
        self.averages = [
            PocketNet(settings.net).to(device, memory_format=torch.channels_last).eval() for _ in settings.averages
        ]
        for average in self.averages:
            average.load_state_dict(self.net.state_dict())
            average.precision = self.net.precision
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.0, betas=(0.9, 0.99), fused=True)
        self.images = self.seconds = self.phase = self.phase_images = self.fresh = 0
        # fresh: images seen since the optimizer began

    @property
    def phase_over(self) -> bool:
        return self.phase_images >= self.settings.phases[self.phase].images

    @property
    def finished(self) -> bool:
        return self.phase_over and self.phase == len(self.settings.phases) - 1

    def save(self, path: Path) -> None:
        counters = {name: getattr(self, name) for name in COUNTERS}
        state = {
            "settings": json.dumps(self.settings.to_dict()),
            "counters": counters,
            "net": self.net.state_dict(),
            "averages": [average.state_dict() for average in self.averages],
            "optimizer": self.optimizer.state_dict(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)  # a run that is killed here leaves the last one whole

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        before = json.loads(state["settings"])
        if before["net"] != json.loads(json.dumps(asdict(self.settings.net))):
            raise SystemExit(f"{path} holds another net: {before['net']}; choose another --work")
        self.net.load_state_dict(state["net"])
        for average, values in zip(self.averages, state["averages"], strict=True):
            average.load_state_dict(values)
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["counters"].items():
            setattr(self, name, value)

    def begin_from(self, folder: Path) -> None:
        """Averaged weights of an earlier run, and its count of images; the optimizer begins anew."""
        weights, notes = read_pieces(folder)
        for net in (self.net, *self.averages):
            net.load_state_dict(weights)
            net.normalize_()
        for name in COUNTERS:
            setattr(self, name, notes["counters"][name])
        self.fresh = 0


COUNTERS = ("images", "seconds", "phase", "phase_images", "fresh")


# --- 4. One step ------------------------------------------------------------------------------------------------------


def learning_rate(settings: Settings, images: int, fresh: int, batch: int) -> float:
    rate = settings.learning_rate * math.sqrt(batch / settings.reference_batch)
    rate /= math.sqrt(max(1.0, images / settings.steady))
    return rate * min(1.0, (fresh + batch) / settings.warm_up)


@functools.cache
def power_exponent(width: float) -> float:
    """The exponent of the power-function average whose width is this share of the run (Karras et al. 2024, eq. 126)."""
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots.real.max())


def step(run: Run, asked: Any, source: Source) -> Tensor:
    """Show the net one batch. Returns the loss, still on the device."""
    settings, phase = run.settings, run.settings.phases[run.phase]
    random = generator(run.device, settings.seed, run.images)
    torch.manual_seed(random.initial_seed())  # for dropout
    clean, hole = source.draw(phase.batch, phase.size, random)
    sigma = noise_levels(settings, phase.batch, phase.size, random)
    noise = torch.randn(clean.shape, generator=random, device=run.device)
    rate = learning_rate(settings, run.images, run.fresh, phase.batch)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.zero_grad(set_to_none=True)
    loss = loss_of(settings, asked, clean, hole, sigma, noise)
    loss.backward()
    for parameter in run.net.parameters():
        torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
    run.optimizer.step()
    run.net.normalize_()
    run.images += phase.batch
    run.fresh += phase.batch
    run.phase_images += phase.batch
    with torch.no_grad():
        for width, average in zip(settings.averages, run.averages, strict=True):
            share = 1 - (1 - phase.batch / run.images) ** (power_exponent(width) + 1)
            torch._foreach_lerp_(list(average.parameters()), list(run.net.parameters()), share)
    return loss.detach()


def generator(device: torch.device, seed: int, count: int) -> torch.Generator:
    random = torch.Generator(device)
    random.manual_seed((seed << 44) + count)
    return random


# --- 5. How good it is ------------------------------------------------------------------------------------------------

JUDGED_SIGMAS = (0.1, 0.5, 2.0, 10.0)


@torch.no_grad()
def judge(run: Run, held_out: Source, size: int) -> list[dict[str, float]]:
    """Errors on held-out views, the same ones every time, for each of the averages: {noise level: error}."""
    settings, found = run.settings, []
    for average in run.averages:
        random = generator(run.device, settings.seed + 1, 0)
        sums = dict.fromkeys(JUDGED_SIGMAS, 0.0)
        chunks = [64] * (settings.judged // 64) or [settings.judged]
        for count in chunks:
            clean, hole = held_out.draw(count, size, random)
            noise = torch.randn(clean.shape, generator=random, device=run.device)
            for level in JUDGED_SIGMAS:
                sigma = torch.full((count,), level, device=run.device)
                estimate = average(clean + level * noise, sigma, clean, hole)
                sums[level] += float(errors(settings, clean, estimate, sigma, hole).mean()) / len(chunks)
        found.append({f"sigma {level:g}": round(value, 5) for level, value in sums.items()})
    return found


def best_average(judged: list[dict[str, float]]) -> int:
    return min(range(len(judged)), key=lambda i: sum(math.log(value) for value in judged[i].values()))


@dataclass(frozen=True)
class NetDenoiser:
    """The net as the package's sampling loop wants it."""

    net: PocketNet
    sees_known = True

    def __call__(self, noisy: Tensor, sigma: float, known: Tensor, hole: Tensor) -> Tensor:
        return self.net(noisy, torch.full((len(noisy),), sigma, device=noisy.device), known, hole)


@torch.no_grad()
def fill(net: PocketNet, clean: Tensor, hole: Tensor, steps: int, random: torch.Generator) -> Tensor:
    """The holes filled by the package's own loop."""

    def noise(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=random, device=random.device)

    filled = clean
    for filling in sample(NetDenoiser(net), clean * (1 - hole), hole, karras(80.0, 0.02, steps), noise=noise, eta=0.0):
        filled = filling.clean
    return filled


def draw_grid(run: Run, net: PocketNet, held_out: Source, size: int, path: Path, count: int = 24) -> None:
    """Rows of: the truth, what the net sees, two fills with different noise."""
    random = generator(run.device, run.settings.seed + 2, 0)
    clean, hole = held_out.draw(count, size, random)
    rows = [clean, clean * (1 - hole) + hole * 0.9]
    rows += [fill(net, clean, hole, run.settings.fill_steps, random) for _ in range(2)]
    tiles = torch.stack(rows, 1).float().clamp(-1, 1)  # (count, 4, 3, size, size)
    across = 3
    tiles = tiles.reshape(count // across, across * 4, 3, size, size).permute(0, 3, 1, 4, 2)
    picture = ((tiles + 1) * 127.5).round().byte().reshape(count // across * size, across * 4 * size, 3)
    Image.fromarray(picture.cpu().numpy()).save(path)


# --- 6. Rates ---------------------------------------------------------------------------------------------------------


@functools.cache
def operations(settings: NetSettings, size: int) -> float:
    """Floating-point operations to train on one view: forward, and twice that backward."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        net = PocketNet(settings).eval()
        net(torch.empty(1, 3, size, size), torch.empty(1), torch.empty(1, 3, size, size), torch.empty(1, 1, size, size))
    return 3.0 * counter.get_total_flops()


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product of random numbers on this device."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(8):
        settle(device)
        begin = time.perf_counter()
        a @ b
        settle(device)
        times.append(time.perf_counter() - begin)
    return 2 * side**3 / sorted(times)[len(times) // 2]


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# --- 7. A run ---------------------------------------------------------------------------------------------------------


def sources_of(settings: Settings, pack: Path | None, device: torch.device) -> tuple[Source, Source]:
    """(training, held out)."""
    if settings.source == "gaussian":
        return GaussianPictures(), GaussianPictures()
    if pack is None:
        raise SystemExit("this preset trains on photographs: give --photos PACK.zip (see training/README.md)")
    train, held_out = (photos.load(pack, held_out=flag).to(device) for flag in (False, True))
    return PhotoViews(train), PhotoViews(held_out, jitter=0.0)


def train(
    settings: Settings,
    *,
    work: Path,
    out: Path,
    pack: Path | None = None,
    begin: Path | None = None,
    minutes: float = math.inf,
    images: int | None = None,
    phase: int | None = None,
    device: torch.device | None = None,
) -> Run:
    """Train until the phases' end, `images` seen in all, or `minutes` of this call; then leave everything in order.

    work: the checkpoint. out: what is to be kept. begin: an earlier run's `out`, used where work has no checkpoint.
    phase: go on with this one at once.
    """
    started = time.perf_counter()
    torch.backends.cudnn.benchmark = True  # shapes change with the phase only
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    run = Run(settings, device)
    checkpoint, stats = work / "checkpoint.pt", out / "stats.jsonl"
    if checkpoint.exists():
        run.load(checkpoint)
    elif begin is not None:
        run.begin_from(begin)
        if (begin / "stats.jsonl").exists() and begin.resolve() != out.resolve():
            shutil.copy(begin / "stats.jsonl", stats)
    if phase is not None and phase != run.phase:
        run.phase, run.phase_images = phase, 0
    (out / "settings.json").write_text(json.dumps(settings.to_dict(), indent=1) + "\n")

    train_source, held_out = sources_of(settings, pack, device)
    rate = matrix_rate(device, torch.bfloat16 if settings.half else torch.float32)
    asked: Any = Questioned(run.net)
    if settings.compiled:
        asked = torch.compile(asked, dynamic=False)
    note(stats, {"begin": run.images, "device": device_name(device), "torch": torch.__version__, "rate": rate})

    for losses, since, spent in reports(run, asked, train_source, started, minutes, images):
        size = settings.phases[run.phase].size
        row: dict[str, Any] = {
            "images": run.images,
            "size": size,
            "loss": round(float(torch.stack(losses).mean()), 5),
            "images per second": round(since / spent, 1),
            "utilisation": round(since / spent * operations(settings.net, size) / rate, 4),
            "seconds": round(run.seconds, 1),
        }
        if run.images // settings.judge_every != (run.images - since) // settings.judge_every:
            run.save(checkpoint)
            row |= keep(run, train_source, held_out, out)
        note(stats, row)

    run.save(checkpoint)
    note(stats, {"end": run.images} | keep(run, train_source, held_out, out))
    return run


def reports(
    run: Run, asked: Any, source: Source, started: float, minutes: float, images: int | None
) -> Iterator[tuple[list[Tensor], int, float]]:
    """Steps until the run is to stop: yields (losses, images, seconds) every `report_every` images, and at the end."""
    settings = run.settings
    limit = math.inf if images is None else images
    losses: list[Tensor] = []
    since, begin = 0, time.perf_counter()
    run.net.train()
    while not run.finished and run.images < limit and time.perf_counter() - started < 60 * minutes:
        if run.phase_over:
            run.phase, run.phase_images = run.phase + 1, 0
        before = run.images
        losses.append(step(run, asked, source))
        since += run.images - before
        if since >= settings.report_every or run.phase_over or run.images >= limit:
            settle(run.device)
            spent = time.perf_counter() - begin
            run.seconds += spent
            yield losses, since, spent
            losses, since, begin = [], 0, time.perf_counter()
    if losses:
        settle(run.device)
        run.seconds += time.perf_counter() - begin


def keep(run: Run, source: Source, held_out: Source, out: Path) -> dict[str, Any]:
    """Judge the averages, write the better one in pieces, draw the grid. Returns what is to be noted."""
    size = run.settings.phases[run.phase].size
    judged = judge(run, held_out, size)
    best = best_average(judged)
    notes = {
        "settings": run.settings.to_dict(),
        "average": run.settings.averages[best],
        "counters": {name: getattr(run, name) for name in COUNTERS},
        "held out": judged[best] | {"size": size},
        "sources": source.sources,
        "licence": "Apache-2.0",
    }
    write_pieces(run.averages[best].state_dict(), notes, out)
    draw_grid(run, run.averages[best], held_out, size, out / "grid.png")
    return {"held out": judged, "average": run.settings.averages[best]}


def note(path: Path, row: dict[str, Any]) -> None:
    line = json.dumps(row)
    print(line, flush=True)
    with path.open("a") as lines:
        lines.write(line + "\n")


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=list(PRESETS), required=True)
    parser.add_argument("--photos", type=Path, help="the pack that training.photos made")
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is to be kept")
    parser.add_argument("--begin", type=Path, help="an earlier run's OUT, used while WORK has no checkpoint")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long, everything saved")
    parser.add_argument("--images", type=int, help="stop after so many images in all")
    parser.add_argument("--phase", type=int, help="go on with this phase (0 is the first)")
    parser.add_argument("--eager", action="store_true", help="do not compile, whatever the preset says")
    parser.add_argument("--batch", type=int, help="instead of the preset's, for a rehearsal on a small machine")
    options = parser.parse_args(arguments)
    settings = PRESETS[options.preset]
    if options.eager:
        settings = replace(settings, compiled=False)
    if options.batch:
        settings = replace(settings, phases=tuple(replace(p, batch=options.batch) for p in settings.phases))
    train(
        settings,
        work=options.work,
        out=options.out,
        pack=options.photos,
        begin=options.begin,
        minutes=options.minutes,
        images=options.images,
        phase=options.phase,
    )


if __name__ == "__main__":
    main()
