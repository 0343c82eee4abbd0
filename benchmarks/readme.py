"""Write the README's comparison between its markers: `python -m benchmarks.readme FOLDER... [--readme README.md]`.

Scores are pooled over the open restore cases at 1000 pixels and the synthetic truths; time ratios come from the speed
suite's cases of up to two megapixels that every method shown ran in the same folder.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from benchmarks.peers import METHODS
from benchmarks.report import DIGITS, SCORES, Results, machines, number, table
from benchmarks.run import read_rows

BEGIN = "<!-- benchmark:begin (written by benchmarks/readme.py) -->"
END = "<!-- benchmark:end -->"
SUITES = ("restore@1000", "synthetic")
MOST_PIXELS = 2_100_000
LEGEND = (
    "*swd* is the distance of textures (sliced Wasserstein of patches, less is better), *hf* how sharp (1 is as the "
    "truth), *rim* the step at the hole's edge (1 is no seam); SSIM and PSNR reward blur: read them with the others. "
    "Time is that of the method over ours, median over the drawn scene of the speed suite from 0.5 to 2 megapixels, "
    "with holes of 1 to 10 %."
)


def comparison(scored: Results, timed: Results) -> str:
    """The section as Markdown: a table of methods, and on what it was measured."""
    cases = {suite: scored.of(suite=suite).names("case") for suite in SUITES}
    seeds = len(scored.of(method="ours").names("seed"))
    lines = [["", "PSNR", "SSIM", "swd", "hf", "rim", "time over ours"]]
    for method in scored.names("method"):
        line = [METHODS[method].label]
        for score in SCORES:
            # every case weighs the same, whatever its suite
            values = [
                scored.of(suite=suite).mean(score, method=method, cases=[case])
                for suite in SUITES
                for case in cases[suite]
            ]
            known = [value for value in values if value == value]
            missing = "" if len(known) == len(values) else "*"
            line.append(number(statistics.fmean(known), DIGITS[score]) + missing if known else "–")
        line.append("1" if method == "ours" else ratio(timed, method))
        lines.append(line)
    count = {suite: len(names) for suite, names in cases.items()}
    return "\n".join(
        [
            f"Means over {count[SUITES[0]]} open photographs (1000 pixels wide) and {count[SUITES[1]]} synthetic "
            f"truths, {seeds} seeds of ours, inside the hole:\n",
            table(lines),
            LEGEND + " A star: not on every case.\n",
            "[Results](docs/results.md) has the marks set, the plots, and what is still wrong case by case.\n",
            machines(Results(scored.rows + timed.rows)),
        ]
    )


def ratio(timed: Results, method: str) -> str:
    """The median of this method's seconds over ours, on the small speed cases that both ran."""
    ratios = []
    for case in timed.names("case"):
        rows = timed.of(case=case, status="ok").rows
        if not rows or not 400_000 <= rows[0]["width"] * rows[0]["height"] <= MOST_PIXELS:
            continue
        own, other = (timed.median("seconds", method=name, case=case) for name in ("ours", method))
        if own > 0 and other > 0:
            ratios.append(other / own)
    return f"{statistics.median(ratios):.1f}x" if ratios else "–"


def between_markers(text: str, section: str) -> str:
    """The README with this section between its markers. Raises ValueError where they are missing."""
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"the README has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{section.strip()}\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders that benchmarks.run wrote; later ones win")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    chosen = parser.parse_args(arguments)
    results = Results.gather(row for folder in chosen.folders for row in read_rows(folder / "rows.jsonl"))
    scored = Results(tuple(row for row in results.rows if row["suite"] in SUITES))
    section = comparison(scored, results.of(suite="speed"))
    chosen.readme.write_text(between_markers(chosen.readme.read_text(encoding="utf-8"), section), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
