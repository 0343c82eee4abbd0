"""`eraser models list | info | fetch | add | verify | remove | where`: of engines' files and of latent checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from eraser.errors import MissingWeights, OutOfRange

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
            "limits": file.limits,
            "url": file.url,
            "path": str(found) if (found := weights.present(file)) else None,
        }
        for file in registry.ENTRIES[name].files
    ]


def checkpoint_state(name: str) -> dict[str, Any]:
    """What a latent checkpoint is, and where it is; nothing is read."""
    from eraser import hub
    from eraser.engines.latent_records import RECORDS

    record = RECORDS[name]
    repository = record.repository
    found = hub.find(name, repository)
    return {
        "repository": repository.name,
        "revision": repository.revision,
        "gigabytes": repository.gigabytes,
        "licence": repository.licence,
        "limits": repository.limits,
        "account": repository.gated,
        "summary": record.summary,
        "needs": record.needs,
        "side": record.options.side,
        "steps": record.options.steps,
        "guidance": record.options.guidance,
        "path": str(found) if found else None,
    }


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
      eraser models info sd15
      On a machine without a network, from a file brought along:
        eraser models add lama lama_fp32.onnx
    """,
)
def models() -> None:
    """Fetch, check and remove the weights of trained models."""


def _known() -> tuple[list[str], list[str]]:
    """(names of engines with files of their own, names of latent checkpoints)."""
    from eraser.engines import registry
    from eraser.engines.latent_records import RECORDS

    return [entry.info.name for entry in registry.ENTRIES.values() if entry.files], list(RECORDS)


def _files(name: str) -> Any:
    """The files of an engine, () for a latent checkpoint. Raises OutOfRange."""
    from eraser.engines import registry

    engines, checkpoints = _known()
    if name not in [*engines, *checkpoints]:
        raise OutOfRange(
            f'there are no weights of "{name}"', hint=f"choose one of {', '.join([*engines, *checkpoints])}"
        )
    return registry.ENTRIES[name].files if name in engines else ()


def _repository(name: str) -> Any:
    from eraser.engines.latent_records import RECORDS

    return RECORDS[name].repository


def _found(name: str) -> Path:
    """Where a latent checkpoint is. Raises MissingWeights."""
    from eraser import hub

    found = hub.find(name, _repository(name))
    if found is None:
        raise MissingWeights(f"{_repository(name).name} is not on this machine", hint=f"eraser models fetch {name}")
    return found


@models.command("list", short_help="List weights, and whether they are here.")
@as_json_option
def list_(as_json: bool) -> None:
    """List the weights that can be fetched, their size and licence, and whether they are here."""
    engines, checkpoints = _known()
    if as_json:
        known = {name: state(name) for name in engines}
        latent = {name: checkpoint_state(name) for name in checkpoints}
        click.echo(json.dumps({"ok": True, "models": known, "checkpoints": latent}))
        return
    for name in engines:
        for file in state(name):
            place = file["path"] or "not here"
            click.echo(f"{name}: {file['file']}, {file['megabytes']:g} MB, licence {file['licence']}; {place}")
    for name in checkpoints:
        of = checkpoint_state(name)
        place = of["path"] or "not here"
        click.echo(f"latent:{name}: {of['repository']}, {of['gigabytes']:g} GB, licence {of['licence']}; {place}")


@models.command(short_help="Tell all about the weights of an engine or a latent checkpoint.")
@click.argument("name")
@as_json_option
def info(name: str, as_json: bool) -> None:
    """Tell all about the weights of an engine or a latent checkpoint: licence and limits, size, needs, where it is."""
    if _files(name):
        told = state(name)
        _report({"files": told}, [f"{key}: {value}" for file in told for key, value in file.items()], as_json)
        return
    of = checkpoint_state(name)
    if as_json:
        click.echo(json.dumps({"ok": True} | of))
        return
    revision = of["revision"] or "the newest when it is fetched: none is pinned"
    account = "; the hub asks for an account that accepts the licence" if of["account"] else ""
    for line in (
        f"latent:{name}: {of['summary']}",
        f"repository  {of['repository']}",
        f"revision    {revision}",
        f"size        {of['gigabytes']:g} GB to fetch, about{account}",
        f"licence     {of['licence']}",
        f"its limits  {of['limits']}",
        f"needs       {of['needs']}",
        f"draws       at {of['side']} pixels, {of['steps']} steps, guidance {of['guidance']:g}",
        f"is          {of['path'] or 'not here: eraser models fetch ' + name}",
    ):
        click.echo(line)


@models.command(short_help="Fetch the weights of an engine or a latent checkpoint.")
@click.argument("name")
@click.option("--from", "url", default="", metavar="URL", help="A mirror of the file or, for a checkpoint, of the hub.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@as_json_option
def fetch(name: str, url: str, quiet: bool, as_json: bool) -> None:
    """Fetch the weights of an engine or a latent checkpoint, resuming what was begun. Size and licence are told before
    anything travels."""
    from tqdm import tqdm

    from eraser import weights

    files = _files(name)
    if not files:
        _fetch_checkpoint(name, url, quiet, as_json)
        return
    paths = []
    for file in files:
        if not as_json:
            licence = f"{file.licence} ({file.limits})" if file.limits else file.licence
            click.echo(f"{file.name}: {file.size / 1e6:.0f} MB, licence {licence}, from {url or file.url}", err=True)
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


def _fetch_checkpoint(name: str, url: str, quiet: bool, as_json: bool) -> None:
    from eraser import hub, shipments

    shipment = shipments.offered(_repository(name), endpoint=url)
    repository = shipment.repository
    if not as_json:
        click.echo(
            f"{repository.name}: {shipment.size / 1e9:.1f} GB, {shipment.missing / 1e9:.1f} GB of them to fetch, "
            f"licence {repository.licence} ({repository.limits}), to {hub.cache()}",
            err=True,
        )
    path = str(shipments.fetch(shipment, endpoint=url, quiet=quiet or as_json))
    _report({"paths": [path]}, [path], as_json)


@models.command(short_help="Take weights brought from another machine.")
@click.argument("name")
@click.argument("place", metavar="FILE", type=click.Path(path_type=Path))
@as_json_option
def add(name: str, place: Path, as_json: bool) -> None:
    """Take a copy of FILE as the weights of an engine, if it is what was released; or of a folder, as a latent
    checkpoint."""
    from eraser import hub, weights

    files = _files(name)
    paths = [str(weights.add(wanted, place)) for wanted in files] if files else [str(hub.add(name, place))]
    _report({"paths": paths}, paths, as_json)


@models.command(short_help="Check every byte of the weights that are here.")
@click.argument("name")
@as_json_option
def verify(name: str, as_json: bool) -> None:
    """Check the weights of an engine or a latent checkpoint. Exit code 3 when they are missing or damaged.

    Files that were fetched are read to their last byte. Of a folder that was brought along the weights are looked at
    for being there and whole, as nothing tells what they should be.
    """
    from eraser import hub, weights

    files = _files(name)
    if files:
        paths = [str(weights.find(wanted, get=f"eraser models fetch {name}")) for wanted in files]
        _report({"paths": paths}, [f"{path} is what was released" for path in paths], as_json)
        return
    folder = _found(name)
    compared = sum(hub.verify(folder))
    said = f"{compared} files are what was released" if compared else "all files are there, and whole"
    _report({"paths": [str(folder)], "compared": compared}, [f"{folder}: {said}"], as_json)


@models.command(short_help="Remove the weights of an engine or a latent checkpoint.")
@click.argument("name")
@as_json_option
def remove(name: str, as_json: bool) -> None:
    """Remove the weights of an engine from where they were fetched to, begun downloads included; or a latent checkpoint
    from there and from the hub's cache, which other programs may use too."""
    from eraser import hub, weights
    from eraser.errors import OutputError

    files = _files(name)
    paths = [] if files else [str(path) for path in hub.remove(name, _repository(name))]
    for wanted in files:
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
    from eraser import hub, weights

    places, home, cache = [str(place) for place in weights.folders()], str(weights.home()), str(hub.cache())
    told = [*places, f"fetched to {home}", f"latent checkpoints are fetched to {cache}"]
    _report({"folders": places, "home": home, "cache": cache}, told, as_json)


def _report(report: dict[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"ok": True} | report))
        return
    for line in lines:
        click.echo(line)
