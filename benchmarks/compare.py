"""What a change did to the scores: two runs, case by case.

python -m benchmarks.compare BEFORE AFTER [--method ours]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.run import read_rows

SCORES = ("psnr", "ssim", "swd", "hf", "rim")
EXTREMES = 3  # cases named on either side


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="folder of the run before the change")
    parser.add_argument("after", type=Path, help="folder of the run after it")
    parser.add_argument("--method", default="ours", help="whose rows are compared")
    chosen = parser.parse_args(arguments)
    before, after = (scores_of(read_rows(run / "rows.jsonl"), chosen.method) for run in (chosen.before, chosen.after))
    common = sorted(before.keys() & after.keys())
    if not common:
        print(f"{chosen.before} and {chosen.after} have no scored case of {chosen.method} in common")
        return 2
    for suite in sorted({suite for suite, _ in common}):
        cases = [case for case in common if case[0] == suite]
        print(f"\n{suite}, {len(cases)} cases\n")
        print(table(cases, before, after))
    return 0


def scores_of(rows: list[dict], method: str) -> dict[tuple[str, str], np.ndarray]:
    """For each (suite, case) the means over its seeds, (SCORES,). The last row of a seed counts."""
    last = {
        (row["suite"], row["case"], row["seed"]): [row[name] for name in SCORES]
        for row in rows
        if row["method"] == method and row["status"] == "ok" and "swd" in row
    }
    seeds = defaultdict(list)
    for (suite, case, _), scores in last.items():
        seeds[suite, case].append(scores)
    return {case: np.mean(scores, axis=0) for case, scores in seeds.items()}


def table(cases: list[tuple[str, str]], before: dict, after: dict) -> str:
    """Means, the mean difference with its standard error over the cases, and who lost and gained most."""
    first, second = (np.array([run[case] for case in cases]) for run in (before, after))
    difference = second - first
    error = difference.std(axis=0, ddof=1) / np.sqrt(len(cases)) if len(cases) > 1 else np.full(len(SCORES), np.nan)
    lines = ["| | before | after | difference | least | most |", "|---|---:|---:|---:|---|---|"]
    for column, name in enumerate(SCORES):
        order = np.argsort(difference[:, column], kind="stable")
        least, most = (
            ", ".join(f"{cases[case][1]} {difference[case, column]:+.2f}" for case in some if difference[case, column])
            for some in (order[:EXTREMES], order[::-1][:EXTREMES])
        )
        means = f"{first[:, column].mean():.3f} | {second[:, column].mean():.3f}"
        lines.append(
            f"| {name} | {means} | {difference[:, column].mean():+.3f} ± {error[column]:.3f} | {least} | {most} |"
        )
    changed = np.count_nonzero(np.any(difference != 0, axis=1))
    return "\n".join([*lines, f"\n{changed} of {len(cases)} changed."])


if __name__ == "__main__":
    raise SystemExit(main())
