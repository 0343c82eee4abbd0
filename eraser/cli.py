"""The `eraser` command: reads arguments, calls the library, speaks to people (and, with --json, to scripts).

Exit codes
0    done
1    a defect of this program (with a traceback, please report it)
2    the caller can mend it: bad arguments, bad picture or mask, unknown engine, a place that cannot be written
3    the engine cannot do it: an optional package or a model is missing or damaged, memory ran out
4    an engine process is running already (serve)
130  cancelled by Ctrl-C; no file was written
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from eraser import __version__, door
from eraser.background_commands import background
from eraser.console import Watch, paint
from eraser.errors import (
    Cancelled,
    EngineError,
    EngineRunning,
    EraserError,
    OutOfMemory,
    UnknownEngine,
)
from eraser.gimp_commands import gimp
from eraser.models_commands import lines as lines_of_weights
from eraser.models_commands import models, state
from eraser.paint_commands import erase, extend
from eraser.redo_commands import redo
from eraser.serve_commands import serve
from eraser.web_commands import web

OK, DEFECT, BAD_INPUT, ENGINE_CANNOT, RUNNING, CANCELLED = 0, 1, 2, 3, door.RUNNING, 130


# -- running one command line ------------------------------------------------------------------------------------------


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. Only a defect of this program raises."""
    as_json = "--json" in arguments
    try:
        code = commands.main(args=list(arguments), prog_name="eraser", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        return BAD_INPUT
    except click.UsageError as error:
        hint = f"see '{error.ctx.command_path} --help'" if error.ctx else ""
        return complain(EraserError(error.format_message().rstrip("."), hint=hint), BAD_INPUT, as_json, kind="Usage")
    except (click.Abort, KeyboardInterrupt, Cancelled):
        return complain(Cancelled("cancelled", hint="nothing half-done was written"), CANCELLED, as_json)
    except MemoryError:
        short = OutOfMemory("memory ran out", hint="close other programs, or take a smaller photo")
        return complain(short, exit_code(short), as_json)
    except EraserError as error:
        return complain(error, exit_code(error), as_json)
    return code if isinstance(code, int) else OK


def exit_code(error: EraserError) -> int:
    if isinstance(error, EngineError) and not isinstance(error, UnknownEngine):
        return ENGINE_CANNOT
    return RUNNING if isinstance(error, EngineRunning) else BAD_INPUT


def complain(error: EraserError, code: int, as_json: bool, kind: str = "") -> int:
    """Say what went wrong, as one line on stderr or as JSON on stdout; returns `code`."""
    if as_json:
        report = {"class": kind or type(error).__name__, "message": error.message, "hint": error.hint}
        click.echo(json.dumps({"ok": False, "error": report, "exit_code": code}))
    else:
        click.echo(f"eraser: {' '.join(str(error).split())}", err=True)
    return code


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    \b
    Examples:
      eraser demo                                  see it work, with nothing else at hand
      eraser erase beach.jpg mask.png              writes beach-erased.jpg
      eraser erase beach.jpg --box 120,80,200,300 -o clean.jpg
      eraser extend beach.jpg --left 20% --right 20%
      eraser erase --help                          all options, with examples

    \b
    Exit codes: 0 done, 1 a defect of this program, 2 input or output you can mend, 3 the engine cannot, 130 cancelled.
    """,
)
@click.version_option(__version__, prog_name="eraser")
def commands() -> None:
    """Erase objects from photographs and extend their borders.

    Every pixel outside the hole keeps its exact value, at any depth, with profile and metadata.
    """


@commands.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("eraser-demo"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--engine", default="auto", show_default=True, help="Which engine paints; see 'eraser engines'.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another number, another result.")
@click.option("-f", "--force", is_flag=True, help="Replace what an earlier demo wrote.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no message; errors still show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text, also for errors.")
def demo(out: Path, engine: str, seed: int, force: bool, quiet: bool, as_json: bool) -> None:
    """Erase real objects from two photographs that come along.

    Writes before, mask, after and a side-by-side picture for each, and says how long it took.
    """
    from eraser import demo as demonstration

    demonstration.prepare(out, force=force)
    reports = []
    for scene in demonstration.SCENES:

        def work(watch: Watch, scene: demonstration.Scene = scene) -> dict[str, Any]:
            return demonstration.show(scene, out, engine=engine, seed=seed, on_step=watch)

        report, _ = paint(work, quiet=quiet or as_json)
        reports.append(report)
        if not quiet and not as_json:
            click.echo(f"{scene.title}: {report['hole_pixels']} pixels painted in {report['seconds']:.2f} s")
            for path in report["files"]:
                click.echo(f"  {path}")
    if as_json:
        click.echo(json.dumps({"ok": True, "scenes": reports, "version": __version__}))


@commands.command(short_help="List the engines and what they need.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def engines(as_json: bool) -> None:
    """List the engines, what they need and under which licence they come."""
    from dataclasses import asdict

    import eraser
    from eraser import doctor as examination

    infos = eraser.engines()
    if as_json:
        facts = [asdict(info) | {"files": state(info.name)} for info in infos]
        click.echo(json.dumps({"ok": True, "engines": facts}))
        return
    click.echo(f"auto, which is taken where nothing else is asked for: {infos[0].name}")
    for info in infos:
        click.echo(f"{info.name}: {info.summary}")
        files = lines_of_weights(info.name)
        weights = f"; {info.weights}" if info.weights and not files else ""
        click.echo(f"  licence {info.licence}; runs on {info.needs}{weights}")
        if info.takes_prompt:
            click.echo("  takes a prompt")
        if info.extra and examination.lacks(info.extra):
            click.echo(f"  first: pip install -e '.[{info.extra}]' in the clone")
        for line in files:
            click.echo(f"  {line}")


@commands.command(short_help="Check what works on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def doctor(as_json: bool) -> int:
    """Check what works on this machine: packages, devices, cache folders, memory, and one small fill.

    Devices are tried, not asked. Exit code 3 when something is in trouble.
    """
    from eraser import doctor as examination

    findings = examination.examine()
    if as_json:
        click.echo(json.dumps(examination.to_json(findings)))
    else:
        click.echo(examination.to_text(findings))
    return ENGINE_CANNOT if examination.in_trouble(findings) else OK


commands.add_command(background)
commands.add_command(erase)
commands.add_command(extend)
commands.add_command(gimp)
commands.add_command(models)
commands.add_command(redo)
commands.add_command(serve)
commands.add_command(web)
