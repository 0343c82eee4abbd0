"""Turn rows into a Markdown table, plots and contact sheets: `python -m benchmarks.report FOLDER... --out FOLDER`.

Several folders may be given, for instance one with peers measured once and one with ours measured today; of two rows
for the same method, case and seed the later one counts. Times compare only within one run on one quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers import METHODS
from benchmarks.run import key, read_rows

SCORES = {"psnr": "PSNR", "ssim": "SSIM", "swd": "swd", "hf": "hf", "rim": "rim"}
DIGITS = {"psnr": 2, "ssim": 3, "swd": 2, "hf": 2, "rim": 2}
NO_PEERS = ("ours", "prototype")
LEGEND = (
    "Means over cases of means over seeds, inside the hole. PSNR in dB and SSIM: more is closer to the truth "
    "(both reward blur). swd: 100 x sliced Wasserstein distance of 7x7 patches at three scales, less is better. "
    "hf: amplitude of the highest octave over the truth's, 1 is as sharp. rim: step across the hole's edge over "
    "the truth's, 1 is no seam. Seconds: median over cases, processor seconds beside it. A result that changed a "
    "known pixel is refused and not scored."
)


@dataclass(frozen=True, slots=True)
class Results:
    """Rows that count, ordered as measured."""

    rows: tuple[dict, ...]

    @classmethod
    def gather(cls, rows: Iterable[dict]) -> Results:
        """The latest row per suite, case, method and seed; methods that were not installed leave no trace."""
        latest = {key(row): row for row in rows}
        return cls(tuple(row for row in latest.values() if row["status"] != "skipped"))

    def of(self, **wanted: object) -> Results:
        return Results(tuple(row for row in self.rows if all(row.get(name) == value for name, value in wanted.items())))

    def names(self, what: str) -> list[str]:
        """Distinct values of a column; methods in the order of METHODS, others as they came."""
        found = dict.fromkeys(row[what] for row in self.rows)
        return [name for name in METHODS if name in found] if what == "method" else list(found)

    def mean(self, column: str, *, method: str, cases: Iterable[str]) -> float:
        """Mean over cases of the mean over seeds; NaN without rows."""
        per_case = []
        for case in cases:
            values = [row[column] for row in self.of(method=method, case=case, status="ok").rows if column in row]
            if values:
                per_case.append(statistics.fmean(values))
        return statistics.fmean(per_case) if per_case else float("nan")

    def median(self, column: str, *, method: str, case: str) -> float:
        values = [row[column] for row in self.of(method=method, case=case, status="ok").rows if column in row]
        return statistics.median(values) if values else float("nan")

    def common_cases(self) -> list[str]:
        """Cases on which every method has a result that counts."""
        methods = self.names("method")
        return [
            case for case in self.names("case") if all(self.of(case=case, method=m, status="ok").rows for m in methods)
        ]


def summary(results: Results) -> str:
    """The whole report as Markdown."""
    parts = ["# Benchmark\n", LEGEND + "\n", machines(results)]
    for suite in sorted(results.names("suite")):
        part = results.of(suite=suite)
        parts.append(f"## {suite}\n")
        if any("swd" in row for row in part.rows):
            parts += [scores_table(part), verdict(part), case_table(part, "swd", "swd per case")]
            parts += [case_table(part, "ssim", "SSIM per case"), case_table(part, "seconds", "Seconds per case")]
        else:
            parts += [case_table(part, "seconds", "Seconds per case"), case_table(part, "cpu_s", "Processor seconds")]
            parts += [case_table(part, "peak_mb", "Peak memory, MB")]
        parts += [time_ratios(part), troubles(part)]
    return "\n".join(part for part in parts if part)


def machines(results: Results) -> str:
    seen = {(row.get("machine", "?"), row.get("cores", 0)) for row in results.rows}
    loads = [row["load"][0] for row in results.rows if "load" in row]
    text = "; ".join(f"{name}, {cores} cores" for name, cores in sorted(seen))
    versions = {METHODS[row["method"]].label: row["version"] for row in results.rows if row.get("version")}
    commits = sorted({row["commit"] for row in results.of(method="ours").rows if row.get("commit")})
    text += f". Load average while measuring {min(loads):.1f} to {max(loads):.1f}." if loads else "."
    text += f" Ours at commit {', '.join(commits)}." if commits else ""
    return f"{text} Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".\n"


def scores_table(results: Results) -> str:
    cases = results.common_cases()
    lines = [["method", "seeds", *SCORES.values(), "seconds", "CPU s", "peak MB", "refused", "failed"]]
    for method in results.names("method"):
        own = results.of(method=method)
        line = [METHODS[method].label, str(len(own.names("seed")))]
        line += [number(results.mean(score, method=method, cases=cases), DIGITS[score]) for score in SCORES]
        for column, digits in (("seconds", 2), ("cpu_s", 2), ("peak_mb", 0)):
            line.append(number(median([results.median(column, method=method, case=case) for case in cases]), digits))
        line += [str(len(own.of(status=status).rows)) for status in ("refused", "failed")]
        lines.append(line)
    return f"Over the {len(cases)} of {len(results.names('case'))} cases that every method finished.\n\n" + table(lines)


def verdict(results: Results, focus: str = "") -> str:
    """How ours (or the prototype, where ours was not measured) stands against the marks set for it."""
    methods, cases = results.names("method"), results.common_cases()
    focus = focus or next((name for name in NO_PEERS if name in methods), "")
    peers = [name for name in methods if name not in NO_PEERS]
    if not focus or not peers or not cases:
        return ""
    own = {score: results.mean(score, method=focus, cases=cases) for score in SCORES}
    swd = {name: results.mean("swd", method=name, cases=cases) for name in methods}
    ssim = {name: results.mean("ssim", method=name, cases=cases) for name in methods}
    best = min(peers, key=swd.__getitem__)
    lines = [["mark", "limit", METHODS[focus].label, "reached"]]

    def mark(text: str, limit: str, value: float, reached: bool) -> None:
        lines.append([text, limit, number(value, 3), "yes" if reached else "no"])

    if focus != "prototype" and "prototype" in methods:
        ratio = own["swd"] / swd["prototype"]
        mark("swd over the prototype's", "at most 0.9", ratio, ratio <= 0.9)
        mark("SSIM less the prototype's", "above 0", own["ssim"] - ssim["prototype"], own["ssim"] > ssim["prototype"])
    ratio = own["swd"] / swd[best]
    mark(f"swd over the best peer's ({METHODS[best].label})", "at most 0.75", ratio, ratio <= 0.75)
    mark(f"SSIM less that of {METHODS[best].label}", "above 0", own["ssim"] - ssim[best], own["ssim"] > ssim[best])
    top = max(peers, key=ssim.__getitem__)
    if top != best:
        text = f"SSIM less the highest of any peer ({METHODS[top].label}, swd {swd[top]:.2f})"
        mark(text, "for information", own["ssim"] - ssim[top], own["ssim"] > ssim[top])
    mark("hf", "0.9 to 1.1", own["hf"], 0.9 <= own["hf"] <= 1.1)
    mark("rim", "at most 1.1", own["rim"], own["rim"] <= 1.1)
    return table(lines)


def case_table(results: Results, column: str, title: str) -> str:
    """One line per case, one column per method; medians for what is measured in seconds and megabytes."""
    methods = results.names("method")
    digits = DIGITS.get(column, 0 if column.endswith("_mb") else 2)
    lines = [[title, "hole px", *(METHODS[name].label for name in methods)]]
    sizes = {row["case"]: (row["width"] * row["height"], row["hole_pixels"]) for row in results.rows if "width" in row}
    natural = {case: sizes.get(case, (0, 0)) for case in results.names("case")}
    small_first = {"speed", "sweep"} >= set(results.names("suite"))
    for case in sorted(natural, key=lambda case: (natural[case] if small_first else (0, 0), case)):
        line = [case, f"{natural[case][1]}"]
        for method in methods:
            if column in DIGITS:
                value = results.mean(column, method=method, cases=[case])
            else:
                value = results.median(column, method=method, case=case)
            line.append(number(value, digits))
        lines.append(line)
    return table(lines)


def time_ratios(results: Results) -> str:
    """How many times faster ours is than each other method, per case: median, least, most."""
    methods = results.names("method")
    focus = next((name for name in NO_PEERS if name in methods), "")
    lines = [[f"{METHODS[focus].label} is faster than" if focus else "", "cases", "median", "least", "most"]]
    for method in methods:
        ratios = []
        for case in results.names("case") if method != focus and focus else ():
            own = results.median("seconds", method=focus, case=case)
            other = results.median("seconds", method=method, case=case)
            if own > 0 and other > 0:
                ratios.append(other / own)
        if ratios:
            numbers = [f"{value:.2f}x" for value in (statistics.median(ratios), min(ratios), max(ratios))]
            lines.append([METHODS[method].label, str(len(ratios)), *numbers])
    return table(lines) if len(lines) > 1 else ""


def troubles(results: Results) -> str:
    lines = [
        f"- {METHODS[row['method']].label} on {row['case']}, seed {row['seed']}: {row['status']}, {row.get('why', '')}"
        for row in results.rows
        if row["status"] in ("refused", "failed")
    ]
    return "\n".join(lines) + "\n" if lines else ""


def table(lines: list[list[str]]) -> str:
    """Markdown; the first line is the head, columns after the first are right-aligned."""
    head, *body = lines
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *body]) + "\n"


def number(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def median(values: list[float]) -> float:
    present = [value for value in values if not np.isnan(value)]
    return statistics.median(present) if present else float("nan")


def draw_plots(results: Results, out: Path) -> list[Path]:
    """Time against hole pixels and against image size, from the sweep suite; [] when it was not run."""
    swept = results.of(suite="sweep", status="ok")
    paths = []
    for prefix, horizontal, title in (
        ("hole-", "hole pixels", "A 3-megapixel photo, the hole grows"),
        ("size-", "image megapixels", "A hole of 3 % of the image, both grow"),
    ):
        rows = [row for row in swept.rows if row["case"].startswith(prefix)]
        if not rows:
            continue
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
        for method in Results(tuple(rows)).names("method"):
            points = []
            for row in rows:
                if row["method"] == method:
                    at = row["hole_pixels"] if prefix == "hole-" else row["width"] * row["height"] / 1e6
                    points.append((at, row["seconds"], row["fastest_s"], row["slowest_s"]))
            at, seconds, fastest, slowest = (np.array(column) for column in zip(*sorted(points), strict=True))
            spread = np.abs([seconds - fastest, slowest - seconds])
            axes.errorbar(at, seconds, spread, marker="o", markersize=4, capsize=2, label=METHODS[method].label)
        axes.set(xscale="log", yscale="log", xlabel=horizontal, ylabel="seconds, warm, median", title=title)
        axes.grid(True, which="both", alpha=0.25)
        axes.legend()
        paths.append(out / f"time-against-{'hole' if prefix == 'hole-' else 'size'}.png")
        figure.savefig(paths[-1], dpi=110)
        pyplot.close(figure)
    return paths


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders that benchmarks.run wrote; later ones win")
    parser.add_argument("--out", type=Path, required=True, help="folder for summary.md, plots and sheets")
    parser.add_argument("--suite", default="", help="comma-separated; all by default")
    parser.add_argument("--methods", default="", help="comma-separated; all by default")
    parser.add_argument("--sheets", action="store_true", help="also draw contact sheets with 100 %% crops")
    parser.add_argument("--seed", type=int, default=0, help="the seed that contact sheets show")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    chosen = parse(arguments)
    rows = [row for folder in chosen.folders for row in read_rows(folder / "rows.jsonl")]
    for column, wanted in (("suite", chosen.suite), ("method", chosen.methods)):
        if wanted:
            rows = [row for row in rows if row[column] in wanted.split(",")]
    if not rows:
        print(f"no rows in {', '.join(str(folder / 'rows.jsonl') for folder in chosen.folders)}")
        return 2
    results = Results.gather(rows)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "summary.md").write_text(summary(results), encoding="utf-8")
    print(chosen.out / "summary.md")
    for path in draw_plots(results, chosen.out):
        print(path)
    if chosen.sheets:
        from benchmarks.sheets import draw_sheets

        for path in draw_sheets(results, chosen.folders, chosen.out / "sheets", chosen.seed):
            print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
