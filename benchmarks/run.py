"""Measure: `python -m benchmarks.run --suite restore,synthetic --methods ours,resynthesizer --out FOLDER`.

Rows go to FOLDER/rows.jsonl as they come, pictures to FOLDER/pictures/SUITE/CASE/METHOD-SEED.png. What is already there
is not measured again unless --again is given, so an interrupted run goes on where it stopped. `benchmarks.report` turns
the folder into tables, plots and contact sheets.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import suites
from benchmarks.peers import METHODS, Options
from benchmarks.worker import keep_picture

REPOSITORY = Path(__file__).resolve().parent.parent
SUITES = ("restore", "removal", "photos", "synthetic", "speed", "sweep")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="synthetic", help=f"comma-separated, of {', '.join(SUITES)}")
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated; all by default")
    parser.add_argument("--seeds", default="0,1,2", help="for methods that take one; others run once")
    parser.add_argument("--repeats", type=int, default=0, help="per seed; default 1, and 3 for speed and sweep")
    parser.add_argument("--cases", type=Path, help="folder with restore/ and removal/ cases")
    parser.add_argument("--long-side", type=int, default=0, help="shrink open cases to this many pixels")
    parser.add_argument("--photos", type=Path, help="folder of photographs for the photos suite")
    parser.add_argument("--every", type=int, default=1, help="fill only every so many-th of them,")
    parser.add_argument("--first", type=int, default=0, help="from this one on")
    parser.add_argument("--only", default="", help="comma-separated case names, or beginnings of them")
    parser.add_argument("--prototype", default="", help="path of the research prototype's script")
    parser.add_argument("--engine", default="", help="engine of ours instead of the default")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one method on one case")
    parser.add_argument("--again", action="store_true", help="measure again what the folder already has")
    parser.add_argument("--note", default="", help="kept in every row, to tell runs apart")
    parser.add_argument("--out", type=Path, required=True, help="folder for rows and pictures")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    chosen = parse(arguments)
    methods, seeds = chosen.methods.split(","), [int(seed) for seed in chosen.seeds.split(",")]
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        print(f"unknown method {', '.join(unknown)}; there are {', '.join(METHODS)}", file=sys.stderr)
        return 2
    try:
        recipes = list(choose(chosen))
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    options = Options(prototype=chosen.prototype, engine=chosen.engine)
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows_path = chosen.out / "rows.jsonl"
    done = {} if chosen.again else {key(row): row for row in read_rows(rows_path)}
    machine, missing = describe_machine(), set()
    for recipe in recipes:
        wanted = {}
        for name in methods:
            if name in missing or not (recipe.peers or name == "ours"):
                continue
            for seed in seeds if METHODS[name].takes_seed and recipe.pictures else seeds[:1]:
                earlier = done.get((recipe.suite, recipe.name, name, seed))
                if earlier is None or earlier["status"] in ("skipped", "failed"):
                    wanted.setdefault(name, []).append(seed)
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as inputs:
            pictures = chosen.out / "pictures" / recipe.suite / recipe.name if recipe.pictures else None
            lay_out(recipe, Path(inputs), pictures)
            for name, its_seeds in wanted.items():
                job = {
                    "method": name,
                    "options": dataclasses.asdict(options),
                    "inputs": inputs,
                    "seeds": its_seeds,
                    "repeats": chosen.repeats or (1 if recipe.pictures else 3),
                    "warm_up": True,
                    "pictures": str(pictures or ""),
                }
                for row in in_fresh_process(job, chosen.timeout):
                    whole = {"suite": recipe.suite, "case": recipe.name, "method": name} | row | machine
                    whole |= {"note": chosen.note, "when": datetime.datetime.now().isoformat(timespec="seconds")}
                    with rows_path.open("a") as file:
                        file.write(json.dumps(whole) + "\n")
                    if row["status"] == "skipped" and name not in missing:
                        missing.add(name)
                        print(f"{name} skipped: {row['why']}", flush=True)
                    elif row["status"] != "skipped":
                        print(one_line(whole), flush=True)
    return 0


def choose(chosen: argparse.Namespace) -> Iterator[suites.Recipe]:
    # a number must not end within a longer one: hole-1000 is not the beginning of hole-10000
    wanted = "|".join(f"{re.escape(name)}(?![0-9])" for name in chosen.only.split(",") if name)
    for suite in chosen.suite.split(","):
        if suite in ("restore", "removal"):
            if chosen.cases is None:
                raise FileNotFoundError(f"the {suite} suite needs --cases FOLDER")
            recipes = suites.open_cases(suite, chosen.cases, chosen.long_side)
        elif suite == "photos":
            if chosen.photos is None:
                raise FileNotFoundError("the photos suite needs --photos FOLDER")
            recipes = suites.photographs(chosen.photos, chosen.every, chosen.first)
        elif suite in SUITES:
            recipes = getattr(suites, suite)()
        else:
            raise ValueError(f"unknown suite {suite}; there are {', '.join(SUITES)}")
        for recipe in recipes:
            if re.match(wanted, recipe.name):
                yield recipe


def lay_out(recipe: suites.Recipe, inputs: Path, pictures: Path | None) -> None:
    """Write a case where its workers find it, and where people can look at it."""
    case = recipe.make()
    for name in ("image", "hole", "truth"):
        pixels = getattr(case, name)
        if pixels is None:
            continue
        np.save(inputs / f"{name}.npy", pixels)
        if pictures:
            keep_picture(
                pictures / f"{name}.png", pixels if name != "hole" else np.where(pixels, 255, 0).astype(np.uint8)
            )


def in_fresh_process(job: dict, timeout: float) -> list[dict]:
    """The job's rows; one row per seed saying why when the process died or took too long."""
    command = [sys.executable, "-m", "benchmarks.worker"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(
            command, input=json.dumps(job), capture_output=True, text=True, timeout=timeout, env=environment
        )
    except subprocess.TimeoutExpired:
        return [{"status": "failed", "why": f"not done after {timeout:g} s", "seed": seed} for seed in job["seeds"]]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or not rows:
        why = f"ended with code {done.returncode}: {done.stderr.strip()[-300:]}"
        rows += [{"status": "failed", "why": why, "seed": seed} for seed in job["seeds"][len(rows) :]]
    return rows


def describe_machine() -> dict:
    return {
        "machine": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit(),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str:
    """Short commit of the checkout, with a + when files differ from it; "" outside a checkout."""
    if shutil.which("git") is None:
        return ""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def read_rows(path: Path) -> list[dict]:
    """Rows of a file, oldest first; none when there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def key(row: dict) -> tuple:
    return row["suite"], row["case"], row["method"], row["seed"]


def one_line(row: dict) -> str:
    head = f"{row['suite']:13s} {row['case']:18s} {row['method']:14s} {row['seed']}"
    if row["status"] != "ok":
        return f"{head}  {row['status']}: {row['why']}"
    names = [name for name in ("psnr", "ssim", "swd", "hf", "rim") if name in row]
    tail = "  ".join(f"{name} {row[name]:.3f}" for name in names)
    return f"{head}  {row['seconds']:8.2f} s {row['peak_mb']:6.0f} MB  {tail}"


if __name__ == "__main__":
    raise SystemExit(main())
