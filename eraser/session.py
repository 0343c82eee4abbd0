"""A loaded engine, used many times: from any kind of image and mask to the same kind of image, filled."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from eraser import background
from eraser.canvas import Canvas, extend
from eraser.compose import compose
from eraser.engines import registry
from eraser.engines.base import Engine, EngineInfo, Progress
from eraser.engines.lanes import lanes_of, side_by_side
from eraser.errors import EngineError, OutOfRange
from eraser.fillings import MOST_SEED, OnStep, best_of, check_seed, drive, paint, scaled, whole
from eraser.geometry import Box, Size
from eraser.margins import Amount, margins
from eraser.masks import Grow, prepare
from eraser.mattes import softened, to_alpha
from eraser.pictures import Picture, is_photo
from eraser.report import OnReport, Recorder, Report, versions
from eraser.window import Window, windows

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from eraser.files import Photo

    Image: TypeAlias = PillowImage | np.ndarray | Photo | str | Path
    Mask: TypeAlias = PillowImage | np.ndarray | Box | Photo | str | Path

Way = Literal["erase", "outpaint", "replace_background"]
MOST_VARIATIONS = 64


class Eraser:
    """An engine, loaded and used many times. Thread-safe.

    engine  a name from `engines()`, or "auto" for the first of them
    What was loaded stays for the next Eraser of that name, until others are asked for: of checkpoints the last one.
    Leaving it as a context manager lets go at once, unless others use the same; used again, it loads again.
    Raises UnknownEngine, and what loading that engine raises.
    """

    def __init__(self, engine: str = registry.AUTO) -> None:
        self._name = engine
        self._loaded: Engine | None = registry.load(engine)

    @property
    def _engine(self) -> Engine:
        engine = self._loaded
        if engine is None:
            engine = self._loaded = registry.load(self._name)
        return engine

    @_engine.setter
    def _engine(self, engine: Engine) -> None:
        self._loaded = engine

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def device(self) -> str:
        """Where it computes: "CPU", unless the engine says otherwise."""
        return str(getattr(self._engine, "runs_on", "CPU"))

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the engine says of itself for reports: model, revision, options, and sums of files, which it reads."""
        return self._about | ({"sha256": sums()} if (sums := self._sums) else {})

    @property
    def _about(self) -> dict[str, Any]:
        return dict(getattr(self._engine, "facts", {}))

    @property
    def _sums(self) -> Callable[[], Any] | None:
        return getattr(self._engine, "sums", None)

    def __enter__(self) -> Eraser:
        return self

    def __exit__(self, *_: object) -> None:
        engine, self._loaded = self._loaded, None
        if engine is not None:
            free = registry.let_go(engine)
            del engine
            free()

    def erase(
        self,
        image: Image,
        mask: Mask,
        *,
        seed: int = 0,
        tries: int = 1,
        grow: Grow = "auto",
        prompt: str | None = None,
        make_opaque: bool = False,
        on_step: OnStep | None = None,
        on_report: OnReport | None = None,
    ) -> Any:
        """The image without what the mask marks; see `eraser.erase`."""
        steps = self.erase_steps(
            image,
            mask,
            seed=seed,
            tries=tries,
            grow=grow,
            prompt=prompt,
            make_opaque=make_opaque,
            on_report=on_report,
        )
        return drive(steps, on_step)

    def outpaint(
        self,
        image: Image,
        *,
        left: Amount = 0,
        top: Amount = 0,
        right: Amount = 0,
        bottom: Amount = 0,
        aspect: str | float | None = None,
        size: tuple[int, int] | None = None,
        seed: int = 0,
        tries: int = 1,
        prompt: str | None = None,
        on_step: OnStep | None = None,
        on_report: OnReport | None = None,
    ) -> Any:
        """The image continued beyond its sides; see `eraser.outpaint`."""
        steps = self.outpaint_steps(
            image,
            left=left,
            top=top,
            right=right,
            bottom=bottom,
            aspect=aspect,
            size=size,
            seed=seed,
            tries=tries,
            prompt=prompt,
            on_report=on_report,
        )
        return drive(steps, on_step)

    def replace_background(
        self,
        image: Image,
        subject: Mask,
        *,
        prompt: str,
        seed: int = 0,
        match: float = background.MATCH,
        soften: float = 0,
        on_step: OnStep | None = None,
        on_report: OnReport | None = None,
    ) -> Any:
        """The image with another background behind its subject; see `eraser.replace_background`."""
        steps = self.replace_background_steps(
            image, subject, prompt=prompt, seed=seed, match=match, soften=soften, on_report=on_report
        )
        return drive(steps, on_step)

    def variations(
        self,
        image: Image,
        *given: Any,
        count: int = 4,
        way: Way = "erase",
        seed: int = 0,
        on_step: OnStep | None = None,
        **asked: Any,
    ) -> list[Any]:
        """Several results to choose from; see `eraser.variations`."""
        steps = self.variations_steps(image, *given, count=count, way=way, seed=seed, **asked)
        results: list[Any] = drive(steps, on_step)
        return results

    def erase_steps(
        self,
        image: Image,
        mask: Mask,
        *,
        seed: int = 0,
        tries: int = 1,
        grow: Grow = "auto",
        prompt: str | None = None,
        make_opaque: bool = False,
        on_report: OnReport | None = None,
    ) -> Generator[Progress, None, Any]:
        """`erase` as a generator: yields Progress, returns the image. Stop iterating, and nothing has happened."""
        check_seed(seed, tries)
        recorder = Recorder()
        picture = Picture.open(image)
        hole = prepare(mask, picture.size, grow)
        canvas = Canvas(picture.colour, hole, picture.alpha)
        colour = yield from self._fill(canvas, picture.writable, seed, tries, prompt, recorder)
        result = picture.close(colour, hole, make_opaque=make_opaque)
        if on_report is not None:
            options = {"grow": grow, "make_opaque": make_opaque}
            on_report(self._report("erase", recorder, seed, tries, prompt, options, picture.size))
        return self._said(result, recorder)

    def outpaint_steps(
        self,
        image: Image,
        *,
        left: Amount = 0,
        top: Amount = 0,
        right: Amount = 0,
        bottom: Amount = 0,
        aspect: str | float | None = None,
        size: tuple[int, int] | None = None,
        seed: int = 0,
        tries: int = 1,
        prompt: str | None = None,
        on_report: OnReport | None = None,
    ) -> Generator[Progress, None, Any]:
        """`outpaint` as a generator: yields Progress, returns the image."""
        check_seed(seed, tries)
        recorder = Recorder()
        picture = Picture.open(image)
        sides = margins(picture.size, left=left, top=top, right=right, bottom=bottom, aspect=aspect, size=size)
        canvas = extend(picture.colour, picture.alpha, **sides)
        colour = yield from self._fill(canvas, lambda: canvas.colour, seed, tries, prompt, recorder)
        result = picture.close(colour, canvas.hole, left=sides["left"], top=sides["top"])
        if on_report is not None:
            on_report(self._report("outpaint", recorder, seed, tries, prompt, sides, canvas.size))
        return self._said(result, recorder)

    def replace_background_steps(
        self,
        image: Image,
        subject: Mask,
        *,
        prompt: str,
        seed: int = 0,
        match: float = background.MATCH,
        soften: float = 0,
        on_report: OnReport | None = None,
    ) -> Generator[Progress, None, Any]:
        """`replace_background` as a generator: yields Progress, returns the image."""
        check_seed(seed, 1)
        background.check_match(match)
        self._check_words(prompt)
        recorder = Recorder()
        picture = Picture.open(image)
        shares = softened(to_alpha(subject, picture.size), soften)
        canvas = background.canvas_around(picture, shares)
        view, scale = background.view_of(canvas)
        whole = picture.size.box
        record = recorder.part(whole, int(np.count_nonzero(canvas.hole)))
        # one seed: fillings are told apart by how they fit what is around them, and a background need not be like that
        drawn = yield from scaled(best_of(self._engine, view, seed, 1, prompt, record), 0.0, 0.95, whole)
        yield Progress(0.95, "light and edges")
        painted = background.put_behind(canvas, shares, scale, drawn, match)
        colour = picture.writable()
        compose(colour, canvas.hole, painted, whole, scale=scale, out=colour)
        record.seconds = recorder.seconds
        # what was transparent has a background now
        result = picture.close(colour, canvas.hole, make_opaque=True)
        if on_report is not None:
            on_report(
                self._report("background", recorder, seed, 1, prompt, {"match": match, "soften": soften}, picture.size)
            )
        yield Progress(1.0, "the new background is in place")
        return self._said(result, recorder)

    def variations_steps(
        self, image: Image, *given: Any, count: int = 4, way: Way = "erase", seed: int = 0, **asked: Any
    ) -> Generator[Progress, None, list[Any]]:
        """`variations` as a generator: yields Progress, returns the results in the order of their seeds."""
        check_seed(seed, 1)
        whole("number of variations", count, 1, MOST_VARIATIONS)
        if way not in get_args(Way):
            raise OutOfRange(f'there are no variations of "{way}"', hint=f"choose {', '.join(get_args(Way))}")
        if isinstance(image, (str, Path)):
            from eraser import files

            image = files.read(Path(image))
        steps_of = getattr(self, f"{way}_steps")
        seeds = [(int(seed) + number) % (MOST_SEED + 1) for number in range(count)]
        makers = [partial(steps_of, image, *given, seed=seed, **asked) for seed in seeds]
        results: list[Any] = [None] * count
        done = [0.0] * count
        with closing(side_by_side(makers, lanes_of(self._engine))) as told:
            for number, step in told:
                if isinstance(step, Progress):
                    done[number] = step.fraction
                    note = f"variation {number + 1} of {count}: {step.note}"
                    yield replace(step, fraction=min(1.0, sum(done) / count), note=note)
                else:
                    results[number], done[number] = step.result, 1.0
        return results

    def _fill(
        self,
        canvas: Canvas,
        writable: Callable[[], np.ndarray],
        seed: int,
        tries: int,
        prompt: str | None,
        recorder: Recorder,
    ) -> Generator[Progress, None, np.ndarray]:
        self._check_prompt(prompt)
        work = replace(canvas, colour=writable())
        return (yield from paint(self._engine, work, windows(canvas.hole), seed, tries, prompt, recorder))

    def paint_steps(
        self,
        canvas: Canvas,
        parts: list[Window],
        *,
        seed: int = 0,
        tries: int = 1,
        prompt: str | None = None,
        on_report: OnReport | None = None,
    ) -> Generator[Progress, None, np.ndarray]:
        """Paint these windows of a canvas into its own colour, which is written to and returned.

        The canvas may be cut from a larger one, the parts being the larger one's windows relative to the cut: an
        engine sees a window and nothing else, so the same pixels come out.
        """
        check_seed(seed, tries)
        self._check_prompt(prompt)
        recorder = Recorder()
        colour = yield from paint(self._engine, canvas, parts, seed, tries, prompt, recorder)
        if on_report is not None:
            on_report(self._report("paint", recorder, seed, tries, prompt, {}, canvas.size))
        return colour

    def _report(
        self,
        mode: str,
        recorder: Recorder,
        seed: int,
        tries: int,
        prompt: str | None,
        options: Mapping[str, object],
        size: Size,
    ) -> Report:
        return Report(
            mode=mode,
            engine=self.info.name,
            licence=self.info.licence,
            device=recorder.device(self.device),
            about=self._about,
            sums=self._sums,
            seed=int(seed),
            tries=int(tries),
            prompt=prompt,
            options=dict(options),
            size=size,
            painted=tuple(recorder.parts),
            source_type=recorder.source_type(is_trained=self.info.is_trained),
            started=recorder.started,
            seconds=recorder.seconds,
            versions=versions(),
        )

    def _said(self, result: Any, recorder: Recorder) -> Any:
        """The result, which says what was done to it if it is a photo that will be written."""
        if not is_photo(result):
            return result
        return result.with_source_type(recorder.source_type(is_trained=self.info.is_trained))

    def _check_prompt(self, prompt: str | None) -> None:
        if prompt is not None and not self.info.takes_prompt:
            raise EngineError(
                f'the engine "{self.info.name}" takes no prompt', hint="leave the prompt out, or choose another engine"
            )

    def _check_words(self, prompt: str) -> None:
        if not self.info.takes_prompt:
            raise EngineError(
                f'the engine "{self.info.name}" continues what is known, and behind a subject nothing is',
                hint="a new background is drawn from words: choose an engine that takes a prompt, like latent:sd15",
            )
        if not isinstance(prompt, str) or not prompt.strip():
            raise OutOfRange("the prompt says nothing", hint="say what is to be behind the subject")
