"""The loop against a case with a known answer: a Gaussian prior, where the filling given the known pixels has a
closed form, and so have the best denoisers, both the one that sees the known pixels and the one that is blind.

With linear denoisers the loop is linear in its noise, so a run on zero noise gives the mean of its results exactly.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from eraser.sampling import Step, sample, split_noise
from eraser.schedule import geometric, karras

SIDE = 16
HOLE = np.zeros((SIDE, SIDE))
HOLE[5:11, 5:11] = 1
INSIDE = HOLE.ravel() > 0


class Prior:
    """A Gaussian over 16x16 images, and what it says about the hole once the rest is known."""

    def __init__(self, covariance: np.ndarray) -> None:
        self.covariance = covariance
        known_part = covariance[~INSIDE][:, ~INSIDE]
        self.carry = np.linalg.solve(known_part, covariance[~INSIDE][:, INSIDE]).T  # known pixels -> conditional mean
        self.remaining = covariance[INSIDE][:, INSIDE] - self.carry @ covariance[~INSIDE][:, INSIDE]
        # (variances, directions) of what a denoiser does not know, by whether it sees the known pixels
        self.axes = {True: np.linalg.eigh(self.remaining), False: np.linalg.eigh(covariance)}
        self._root = np.linalg.cholesky(covariance + 1e-9 * np.eye(SIDE * SIDE))

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, 1, 16, 16)"""
        return (rng.standard_normal((count, SIDE * SIDE)) @ self._root.T).reshape(count, 1, SIDE, SIDE)

    def conditional_mean(self, images: np.ndarray) -> np.ndarray:
        """(count, hole pixels)"""
        return images.reshape(len(images), -1)[:, ~INSIDE] @ self.carry.T


@cache
def rough() -> Prior:
    return Prior(np.exp(-distances() / 4))


@cache
def smooth() -> Prior:
    return Prior(np.exp(-(distances() ** 2) / (2 * 3**2)) + 1e-4 * np.eye(SIDE * SIDE))


def distances() -> np.ndarray:
    places = np.argwhere(np.ones((SIDE, SIDE)))
    return np.linalg.norm(places[:, None] - places[None], axis=2)


class Exact:
    """The best denoiser there is: with the known pixels (hole-aware), or from the noisy image alone (blind)."""

    def __init__(self, prior: Prior, *, sees_known: bool) -> None:
        self.sees_known = sees_known
        self.calls = 0
        self._prior = prior
        self._variances, self._axes = prior.axes[sees_known]

    def __call__(self, noisy, sigma, known, hole):
        self.calls += 1
        flat = noisy.reshape(len(noisy), -1)
        if self.sees_known:
            mean = self._prior.conditional_mean(known)
            clean = np.full_like(flat, 9.0)  # outside the hole a denoiser may say what it likes
            clean[:, INSIDE] = mean + self._shrink(flat[:, INSIDE] - mean, sigma)
        else:
            clean = self._shrink(flat, sigma)
        return clean.reshape(noisy.shape)

    def _shrink(self, noisy: np.ndarray, sigma: float) -> np.ndarray:
        """E[x | x + sigma * noise = noisy] for x of mean 0, with Wiener's filter along the principal axes."""
        along = np.einsum("ni,ij->nj", noisy, self._axes) * (self._variances / (self._variances + sigma**2))
        return np.einsum("nj,ij->ni", along, self._axes)  # not @: BLAS threads wait for each other on busy machines


def last(steps) -> Step:
    step = None
    for step in steps:  # noqa: B007
        pass
    assert step is not None
    return step


def known_and_garbage(images: np.ndarray) -> np.ndarray:
    """What stands under the hole must not matter."""
    return np.where(HOLE > 0, 7.0, images)


def mean_error(prior: Prior, denoiser: Exact, sigmas: np.ndarray, **options) -> float:
    """How far the mean result is from the conditional mean, over many images; 1 is what a grey hole scores."""
    images = prior.draw(np.random.default_rng(1), 8)
    step = last(sample(denoiser, known_and_garbage(images), HOLE, sigmas, noise=np.zeros, **options))
    wanted = prior.conditional_mean(images)
    return float(np.linalg.norm(step.clean.reshape(len(images), -1)[:, INSIDE] - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("prior", [rough(), smooth()], ids=["rough", "smooth"])
def test_a_denoiser_that_sees_the_known_pixels_finds_the_conditional_mean_in_20_calls(prior):
    denoiser = Exact(prior, sees_known=True)
    assert mean_error(prior, denoiser, karras(20, 0.02, 20)) < 0.1
    assert denoiser.calls == 20


@pytest.mark.parametrize(
    ("prior", "errors"),
    # after 20 calls without resampling, 191 with 10 walks of each level, 761 with 40
    [(rough(), (0.3, 0.2, 0.1)), (smooth(), (0.3, 0.3, 0.2))],
    ids=["rough", "smooth"],
)
def test_a_blind_denoiser_needs_resampling_and_gets_better_with_it(prior, errors):
    once, default, often = (
        mean_error(prior, Exact(prior, sees_known=False), karras(20, 0.02, 20), resample=times)
        for times in (1, None, 40)
    )
    assert once > errors[0]  # pasting the known pixels in at each step is not enough
    assert default < errors[1]
    assert often < errors[2]
    assert once > default > often


def test_more_steps_do_not_help_a_blind_denoiser_as_resampling_does():
    prior = rough()
    denoiser = Exact(prior, sees_known=False)
    resampled = mean_error(prior, denoiser, karras(20, 0.02, 10))
    assert denoiser.calls == 91
    assert resampled < 0.6 * mean_error(prior, Exact(prior, sees_known=False), karras(20, 0.02, 91), resample=1)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_many_steps_results_scatter_as_the_conditional_distribution_does(eta):
    prior = rough()
    image = np.repeat(prior.draw(np.random.default_rng(2), 1), 250, axis=0)
    steps = sample(
        Exact(prior, sees_known=True),
        known_and_garbage(image),
        HOLE,
        karras(20, 0.005, 250),
        noise=np.random.default_rng(3).standard_normal,
        eta=eta,
    )
    filled = last(steps).clean.reshape(len(image), -1)[:, INSIDE]
    assert np.trace(np.cov(filled.T)) == pytest.approx(np.trace(prior.remaining), rel=0.1)
    off = filled.mean(axis=0) - prior.conditional_mean(image)[0]
    assert np.linalg.norm(off) < 0.1 * math.sqrt(np.trace(prior.remaining))


@pytest.mark.parametrize("steps", [10, 16])
def test_looking_at_the_level_before_comes_nearer_to_the_exact_path_in_the_same_calls(steps):
    """For a Gaussian the deterministic path is known: each principal axis shrinks as its noisy deviation does."""
    prior = rough()
    images = prior.draw(np.random.default_rng(11), 4)
    variances, axes = prior.axes[True]
    begin = np.random.default_rng(12).standard_normal(images.shape)
    sigmas = karras(20, 0.02, steps)
    mean = prior.conditional_mean(images)
    off = (20 * begin).reshape(4, -1)[:, INSIDE] - mean
    exact = mean + (off @ axes * np.sqrt(variances / (variances + 20**2))) @ axes.T
    errors = []
    for order in (1, 2):
        denoiser = Exact(prior, sees_known=True)
        done = sample(
            denoiser, known_and_garbage(images), HOLE, sigmas, noise=lambda shape: begin, eta=0.0, order=order
        )
        errors.append(np.linalg.norm(last(done).clean.reshape(4, -1)[:, INSIDE] - exact))
        assert denoiser.calls == steps
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("sees_known", [True, False])
def test_known_pixels_stand_unchanged_in_every_step(sees_known):
    prior = rough()
    images = prior.draw(np.random.default_rng(4), 2)
    known = known_and_garbage(images)
    before = known.copy()
    noise = np.random.default_rng(5).standard_normal
    count = 0
    for step in sample(Exact(prior, sees_known=sees_known), known, HOLE, geometric(20, 0.05, 6), noise=noise):
        assert np.array_equal(step.clean[:, :, HOLE == 0], images[:, :, HOLE == 0])
        assert not np.array_equal(step.noisy[:, :, HOLE == 0], images[:, :, HOLE == 0])
        count += 1
    assert count == (6 if sees_known else 5 * 10 + 1)
    assert np.array_equal(known, before)


def test_what_stands_under_the_hole_does_not_matter():
    prior = rough()
    image = prior.draw(np.random.default_rng(6), 1)
    results = [
        last(
            sample(
                Exact(prior, sees_known=True),
                np.where(HOLE > 0, garbage, image),
                HOLE,
                geometric(20, 0.05, 5),
                noise=np.random.default_rng(7).standard_normal,
            )
        ).clean
        for garbage in (0.0, -50.0)
    ]
    assert np.array_equal(*results)


@pytest.mark.parametrize("eta", [0.0, 1.0, math.inf])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(eta):
    prior = rough()
    image = prior.draw(np.random.default_rng(8), 1)

    def fill(seed: int) -> bytes:
        noise = np.random.default_rng(seed).standard_normal
        steps = sample(Exact(prior, sees_known=False), image, HOLE, karras(20, 0.02, 5), noise=noise, eta=eta)
        return last(steps).clean.tobytes()

    assert fill(1) == fill(1)
    assert fill(1) != fill(2)


def test_whoever_stops_iterating_cancels_at_once():
    prior = rough()
    image = prior.draw(np.random.default_rng(9), 1)
    denoiser = Exact(prior, sees_known=True)
    steps = sample(denoiser, image, HOLE, karras(20, 0.02, 20), noise=np.random.default_rng(0).standard_normal)
    assert denoiser.calls == 0  # nothing happens before somebody asks
    for step in steps:
        if step.index == 2:
            break
    steps.close()
    assert denoiser.calls == 3
    assert next(steps, None) is None


def test_steps_tell_their_level_and_what_went_in():
    prior = rough()
    image = prior.draw(np.random.default_rng(10), 1)
    sigmas = geometric(8, 0.5, 5)
    seen = []

    class Watching(Exact):
        def __call__(self, noisy, sigma, known, hole):
            seen.append((sigma, noisy.copy()))
            return super().__call__(noisy, sigma, known, hole)

    steps = list(
        sample(Watching(prior, sees_known=True), image, HOLE, sigmas, noise=np.random.default_rng(0).standard_normal)
    )
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]
    assert [step.sigma for step in steps] == sigmas[:-1].tolist() == [sigma for sigma, _ in seen]
    for step, (_, noisy) in zip(steps, seen, strict=True):
        assert np.array_equal(step.noisy, noisy)


@pytest.mark.parametrize("start", [None, 3.0])
def test_the_first_level_is_the_start_with_noise_of_that_level(start):
    known = np.full((1, 1, SIDE, SIDE), 0.5)
    begin = None if start is None else np.full_like(known, start)
    steps = sample(Exact(rough(), sees_known=True), known, HOLE, geometric(4, 0.5, 2), noise=np.ones, start=begin)
    expected = (0.5 * (1 - HOLE) if start is None else np.full_like(HOLE, start)) + 4.0
    assert np.allclose(next(steps).noisy, expected)


def test_who_has_added_the_first_noise_gets_the_same_steps():
    known = np.full((1, 1, SIDE, SIDE), 0.5)
    sigmas = geometric(4, 0.5, 3)

    def steps(prepared):
        normal = np.random.default_rng(6).standard_normal
        noisy = known * (1 - HOLE) + float(sigmas[0]) * normal(known.shape) if prepared else None
        return [
            step.clean
            for step in sample(Exact(rough(), sees_known=True), known, HOLE, sigmas, noise=normal, noisy=noisy)
        ]

    assert np.array_equal(steps(True), steps(False))


def test_every_level_but_the_last_is_walked_as_often_as_asked():
    denoiser = Exact(rough(), sees_known=True)
    known = np.zeros((1, 1, SIDE, SIDE))
    steps = sample(denoiser, known, HOLE, geometric(4, 0.5, 3), noise=np.zeros, resample=4)
    assert [step.index for step in steps] == [0, 0, 0, 0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0, 2.0, math.inf])
def test_split_noise_keeps_the_lower_levels_variance(eta):
    levels = [10.0, 9.999, 3.0, 0.2, 0.001]
    for sigma in levels:
        for lower in [level for level in levels if level <= sigma] + [0.0]:
            down, up = split_noise(sigma, lower, eta)
            assert down**2 + up**2 == pytest.approx(lower**2)
            assert 0 <= down <= lower
            assert 0 <= up <= lower


@pytest.mark.parametrize(("sigma", "lower"), [(4.0, 1.0), (1.0, 0.9), (2.0, 0.0)])
def test_split_noise_at_its_three_landmarks(sigma, lower):
    assert split_noise(sigma, lower, 0) == (lower, 0.0)  # the deterministic step draws nothing
    assert split_noise(sigma, lower, math.inf) == (0.0, lower)  # from scratch keeps nothing
    down, up = split_noise(sigma, lower, 1)  # ancestral sampling: the variance of x_lower given x_sigma and x_0
    assert up**2 == pytest.approx(lower**2 * (sigma**2 - lower**2) / sigma**2)
    assert down == pytest.approx(lower**2 / sigma)


def test_no_noise_is_drawn_that_is_not_used():
    shapes = []

    def noise(shape):
        shapes.append(shape)
        return np.zeros(shape)

    known = np.zeros((1, 1, SIDE, SIDE))
    list(sample(Exact(rough(), sees_known=True), known, HOLE, geometric(4, 0.5, 3), noise=noise, eta=0))
    assert shapes == [known.shape]
    list(sample(Exact(rough(), sees_known=True), known, HOLE, geometric(4, 0.5, 3), noise=noise, eta=1))
    assert len(shapes) == 1 + 3


def test_torch_tensors_run_through_the_same_loop():
    torch = pytest.importorskip("torch")
    prior = rough()
    images = prior.draw(np.random.default_rng(11), 2)
    normal = np.random.default_rng(12).standard_normal

    class InTorch(Exact):
        def __call__(self, noisy, sigma, known, hole):
            assert isinstance(noisy, torch.Tensor)
            return torch.from_numpy(super().__call__(noisy.numpy(), sigma, known.numpy(), hole.numpy()))

    sigmas = karras(20, 0.02, 10)
    step = last(
        sample(
            InTorch(prior, sees_known=False),
            torch.from_numpy(images),
            torch.from_numpy(HOLE),
            sigmas,
            noise=lambda shape: torch.from_numpy(normal(tuple(shape))),
            resample=3,
        )
    )
    normal = np.random.default_rng(12).standard_normal
    same = last(sample(Exact(prior, sees_known=False), images, HOLE, sigmas, noise=normal, resample=3))
    assert isinstance(step.clean, torch.Tensor)
    assert step.clean.shape == images.shape
    assert np.allclose(step.clean.numpy(), same.clean, atol=1e-9)
