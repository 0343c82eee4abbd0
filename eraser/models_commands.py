"""`eraser models list | fetch | add | verify | remove | where`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from eraser.errors import OutOfRange

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def state(name: str) -> list[dict[str, Any]]:
    """What an engine's weights are, and where they are; nothing is read."""
    from eraser import weights
    from eraser.engines import registry

    return [
        {
            "file": file.name,
            "megabytes": round(file.size / 1e6, 1),
            "licence": file.licence,
            "url": file.url,
            "path": str(found) if (found := weights.present(file)) else None,
        }
        for file in registry.ENTRIES[name].files
    ]


def lines(name: str) -> list[str]:
    """The state for people."""
    return [
        f"{file['file']}: {file['path']}"
        if file["path"]
        else f"{file['file']} is not here ({file['megabytes']:g} MB): eraser models fetch {name}"
        for file in state(name)
    ]


@click.group(
    epilog="""
    \b
    Examples:
      eraser models fetch lama
      On a machine without a network, from a file brought along:
        eraser models add lama lama_fp32.onnx
    """,
)
def models() -> None:
    """Fetch, check and remove the weights of trained models."""


def _files(name: str) -> Any:
    from eraser.engines import registry

    known = [entry.info.name for entry in registry.ENTRIES.values() if entry.files]
    if name not in known:
        raise OutOfRange(f'there are no weights of "{name}"', hint=f"choose one of {', '.join(known)}")
    return registry.ENTRIES[name].files


@models.command("list", short_help="List weights, and whether they are here.")
@as_json_option
def list_(as_json: bool) -> None:
    """List the weights that can be fetched, their size and licence, and whether they are here."""
    from eraser.engines import registry

    names = [entry.info.name for entry in registry.ENTRIES.values() if entry.files]
    if as_json:
        click.echo(json.dumps({"ok": True, "models": {name: state(name) for name in names}}))
        return
    for name in names:
        for file in state(name):
            place = file["path"] or "not here"
            click.echo(f"{name}: {file['file']}, {file['megabytes']:g} MB, licence {file['licence']}; {place}")


@models.command(short_help="Fetch the weights of an engine.")
@click.argument("name")
@click.option("--from", "url", default="", metavar="URL", help="A mirror, instead of where they were released.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@as_json_option
def fetch(name: str, url: str, quiet: bool, as_json: bool) -> None:
    """Fetch the weights of an engine, resuming what was begun. Size and licence are told before anything travels."""
    from tqdm import tqdm

    from eraser import weights

    paths = []
    for file in _files(name):
        if not as_json:
            click.echo(
                f"{file.name}: {file.size / 1e6:.0f} MB, licence {file.licence}, from {url or file.url}", err=True
            )
        steps = weights.fetch(file, url=url)
        with tqdm(total=file.size, unit="B", unit_scale=True, leave=False, disable=quiet or as_json or None) as bar:
            try:
                while True:
                    bar.update(next(steps) - bar.n)
            except StopIteration as finished:
                paths.append(str(finished.value))
            finally:
                steps.close()
    _report({"paths": paths}, paths, as_json)


@models.command(short_help="Take weights from a file brought from another machine.")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@as_json_option
def add(name: str, file: Path, as_json: bool) -> None:
    """Take a copy of FILE as the weights of an engine, if it is what was released."""
    from eraser import weights

    paths = [str(weights.add(wanted, file)) for wanted in _files(name)]
    _report({"paths": paths}, paths, as_json)


@models.command(short_help="Check every byte of the weights that are here.")
@click.argument("name")
@as_json_option
def verify(name: str, as_json: bool) -> None:
    """Check every byte of an engine's weights. Exit code 3 when they are missing or damaged."""
    from eraser import weights

    paths = [str(weights.find(wanted, get=f"eraser models fetch {name}")) for wanted in _files(name)]
    _report({"paths": paths}, [f"{path} is what was released" for path in paths], as_json)


@models.command(short_help="Remove the weights of an engine.")
@click.argument("name")
@as_json_option
def remove(name: str, as_json: bool) -> None:
    """Remove the weights of an engine from where they were fetched to, begun downloads included."""
    from eraser import weights
    from eraser.errors import OutputError

    paths = []
    for wanted in _files(name):
        for path in (weights.home() / wanted.name, *weights.home().glob(f".{wanted.name}.*.part")):
            if not path.is_file():
                continue
            try:
                path.unlink()
            except OSError as error:
                raise OutputError(f"{path} cannot be removed ({error.strerror})") from error
            paths.append(str(path))
    _report({"paths": paths}, [f"removed {path}" for path in paths] or ["there was nothing to remove"], as_json)


@models.command(short_help="Say where weights are looked for.")
@as_json_option
def where(as_json: bool) -> None:
    """Say where weights are looked for, and where they are fetched to."""
    from eraser import weights

    places, home = [str(place) for place in weights.folders()], str(weights.home())
    _report({"folders": places, "home": home}, [*places, f"fetched to {home}"], as_json)


def _report(report: dict[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"ok": True} | report))
        return
    for line in lines:
        click.echo(line)
