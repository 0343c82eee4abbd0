"""`eraser gimp install | uninstall | status`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eraser import __version__
from eraser.errors import InputError

if TYPE_CHECKING:
    from eraser.gimp import Profile, Report

OK, CANNOT = 0, 3


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text."),
        click.option(
            "--profile",
            "chosen",
            multiple=True,
            type=click.Path(path_type=Path, file_okay=False),
            help="A GIMP profile folder, instead of all that are found. Repeatable.",
        ),
    ):
        command = option(command)
    return command


@click.group(
    epilog="""
    \b
    Examples:
      eraser gimp install              into every GIMP 3 of this user
      eraser gimp status
      eraser gimp install --profile ~/.config/GIMP/3.2
    """,
)
def gimp() -> None:
    """Bring the plug-in into GIMP 3, or take it out again."""


@gimp.command()
@shared
@click.option("--no-check", is_flag=True, help="Do not start GIMP to see whether it knows the plug-in.")
def install(chosen: Sequence[Path], as_json: bool, no_check: bool) -> int:
    """Put the plug-in into every GIMP 3, with this Python as its engine's.

    GIMP is then asked, without a window, whether it knows the plug-in. Close and open GIMP to see it in the menu.
    """
    from eraser import gimp as plug_in

    reports = []
    for profile in where(chosen):
        report = plug_in.install(profile)
        found = None if no_check else plug_in.check(profile)
        if found is not None:
            notes = report.notes if found else [*report.notes, "GIMP knows it: Filters > Magic Eraser"]
            report = dataclasses.replace(report, notes=notes, trouble=found)
        reports.append(report)
    return tell(reports, as_json)


@gimp.command()
@shared
def uninstall(chosen: Sequence[Path], as_json: bool) -> int:
    """Take the plug-in and its settings out of every GIMP 3; nothing else is removed."""
    from eraser import gimp as plug_in

    return tell([plug_in.uninstall(profile) for profile in where(chosen)], as_json)


@gimp.command()
@shared
def status(chosen: Sequence[Path], as_json: bool) -> int:
    """Say where the plug-in is, of which version, and which Python it starts. Exit code 3 when something is wrong."""
    from eraser import gimp as plug_in

    return tell([plug_in.look(profile) for profile in where(chosen)], as_json)


def where(chosen: Sequence[Path]) -> list[Profile]:
    """The profiles to work on. Raises InputError where there are none."""
    from eraser import gimp as plug_in

    if chosen:
        return [plug_in.profile_at(path) for path in chosen]
    found = plug_in.profiles()
    if not found:
        raise InputError(
            "no GIMP 3 was found for this user",
            hint="start GIMP once and try again, or name its profile folder with --profile "
            "(GIMP: Edit > Preferences > Folders > Plug-ins shows it)",
        )
    return found


def tell(reports: Sequence[Report], as_json: bool) -> int:
    from eraser import gimp as plug_in

    trouble = any(report.trouble for report in reports)
    if as_json:
        click.echo(json.dumps({"ok": not trouble, "profiles": [r.to_json() for r in reports], "version": __version__}))
    else:
        for line in plug_in.to_text(reports):
            click.echo(line)
    return CANNOT if trouble else OK
