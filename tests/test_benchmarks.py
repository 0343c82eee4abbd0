"""The benchmark's own arithmetic: a wrong score or a missed changed pixel would make every table of ours a lie."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import compare, peers, readme, report, run, scores, suites, worker
from benchmarks.scenes import SCENES, render
from benchmarks.sheets import crop_around, draw_sheets, save_pages


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def truth(random) -> np.ndarray:
    return random.integers(0, 256, (61, 83, 3), np.uint8)


@pytest.fixture
def hole() -> np.ndarray:
    inside = np.zeros((61, 83), bool)
    inside[15:47, 20:60] = True
    inside[20:30, 60:66] = True
    return inside


# --- scores: known answers -------------------------------------------------------------------------------------------


def test_the_truth_itself_scores_perfectly(truth, hole):
    perfect = scores.score(truth, truth.copy(), hole)
    assert perfect.psnr == pytest.approx(100)
    assert perfect.ssim == pytest.approx(1, abs=1e-6)
    assert (perfect.swd, perfect.hf, perfect.rim, perfect.outside) == pytest.approx((0, 1, 1, 0))


def test_psnr_of_a_constant_error_is_its_decibels(hole):
    grey = np.full((*hole.shape, 3), 100, np.uint8)
    brighter = np.where(hole[..., None], np.uint8(151), grey)
    assert scores.score(grey, brighter, hole).psnr == pytest.approx(-20 * np.log10(51 / 255), abs=1e-4)


def test_swd_of_a_constant_error_is_what_the_directions_make_of_it(hole):
    """Every projection of every patch moves by error x sum of the direction, at each scale."""
    grey = np.full((*hole.shape, 3), 100, np.uint8)
    brighter = np.full_like(grey, 151)
    inner = np.zeros_like(hole)
    inner[22:40, 26:54] = True
    moved = []
    for scale in range(2):  # the third scale has too few patches
        directions = np.random.default_rng(scale).standard_normal((3 * 49, 64)).astype(np.float32)
        moved.append(np.abs((directions / np.linalg.norm(directions, axis=0)).sum(0)).mean() * 0.2)
    assert scores.score(grey, brighter, inner).swd == pytest.approx(100 * np.mean(moved), rel=1e-4)


def test_a_flat_fill_in_noise_has_no_octave_energy_and_a_moved_texture_keeps_it(truth, hole):
    flat = np.where(hole[..., None], np.uint8(128), truth)
    moved = np.where(hole[..., None], np.roll(truth, (3, 5), (0, 1)), truth)
    assert scores.score(truth, flat, hole).hf == pytest.approx(0, abs=0.02)
    assert scores.score(truth, moved, hole).hf == pytest.approx(1, abs=0.03)
    assert scores.score(truth, moved, hole).swd < 0.3 * scores.score(truth, flat, hole).swd


def test_a_seam_doubles_the_rim_where_the_truth_has_a_ramp():
    ramp = np.repeat(np.repeat(np.arange(0, 160, 2, dtype=np.uint8)[None, :, None], 40, 0), 3, 2)
    hole = np.zeros((40, 80), bool)
    hole[:, 40:] = True  # one edge only: step 2 in the truth
    seam = ramp.copy()
    seam[hole] += 2
    assert scores.score(ramp, seam, hole).rim == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize("row", [0, 600, 1300])
def test_one_changed_known_pixel_is_seen_in_any_strip(row):
    before = np.zeros((1301, 5, 3), np.uint8)
    hole = np.zeros((1301, 5), bool)
    hole[:, 2] = True
    after = before.copy()
    after[:, 2] = 255
    assert scores.outside_change(before, after, hole) == 0
    after[row, 4, 1] = 3
    assert scores.outside_change(before, after, hole) == scores.outside_change(after, before, hole) == 3


def test_scores_refuse_what_cannot_be_compared(truth, hole):
    with pytest.raises(ValueError, match="fill is"):
        scores.score(truth, truth[1:], hole)
    with pytest.raises(ValueError, match="empty"):
        scores.score(truth, truth, np.zeros_like(hole))


# --- scores: slow, obvious twins -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 6), (9, 7), (7, 12), (2, 2), (3, 5)])
def test_halving_agrees_with_adding_up_covered_areas(random, size):
    image = random.random((*size, 3), np.float32)
    small = scores.half(image)
    assert small.shape == (size[0] // 2, size[1] // 2, 3)
    scale = [before / after for before, after in zip(size, small.shape, strict=False)]
    for i, j in np.ndindex(small.shape[:2]):
        total, area = np.zeros(3), 0.0
        for y, x in np.ndindex(size):
            down = max(0, min((i + 1) * scale[0], y + 1) - max(i * scale[0], y))
            across = max(0, min((j + 1) * scale[1], x + 1) - max(j * scale[1], x))
            total += image[y, x] * down * across
            area += down * across
        np.testing.assert_allclose(small[i, j], total / area, atol=2e-6)


@pytest.mark.parametrize(("size", "target"), [((4, 3), (8, 6)), ((4, 3), (9, 7)), ((1, 2), (3, 5))])
def test_doubling_agrees_with_interpolating_pixel_by_pixel(random, size, target):
    image = random.random(size, np.float32)
    large = scores.double(image, target)
    for i, j in np.ndindex(target):
        y = min(max((i + 0.5) * size[0] / target[0] - 0.5, 0), size[0] - 1)
        x = min(max((j + 0.5) * size[1] / target[1] - 0.5, 0), size[1] - 1)
        value = 0.0
        for yy, xx in itertools.product((int(y), int(y) + 1), (int(x), int(x) + 1)):
            weight = max(0, 1 - abs(y - yy)) * max(0, 1 - abs(x - xx))
            value += weight * image[min(yy, size[0] - 1), min(xx, size[1] - 1)]
        assert large[i, j] == pytest.approx(value, abs=1e-6)


def test_ssim_agrees_with_the_formula_written_window_by_window(random):
    a, b = random.random((14, 15, 3)).astype(np.float32), random.random((14, 15, 3)).astype(np.float32)
    hole = np.zeros((14, 15), bool)
    hole[4:9, 3:11] = True  # no window leaves the picture
    values = []
    for (y, x), channel in itertools.product(np.argwhere(hole), range(3)):
        window = (slice(y - 3, y + 4), slice(x - 3, x + 4), channel)
        p, q = a[window].astype(float).ravel(), b[window].astype(float).ravel()
        (var_p, cov), (_, var_q) = np.cov(p, q)
        top = (2 * p.mean() * q.mean() + 1e-4) * (2 * cov + 9e-4)
        values.append(top / ((p.mean() ** 2 + q.mean() ** 2 + 1e-4) * (var_p + var_q + 9e-4)))
    assert scores.structural_similarity(a, b, hole) == pytest.approx(np.mean(values), abs=1e-5)


def test_rim_agrees_with_walking_over_all_neighbours(truth, hole):
    image, steps = truth.astype(np.float32), []
    for (y, x), (dy, dx) in itertools.product(np.ndindex(hole.shape), ((0, 1), (1, 0))):
        if y + dy < len(hole) and x + dx < hole.shape[1] and hole[y, x] != hole[y + dy, x + dx]:
            steps.append(np.abs(image[y, x] - image[y + dy, x + dx]))
    assert scores.rim_step(image, hole) == pytest.approx(np.mean(steps), rel=1e-5)


def test_resizing_agrees_with_opencv_whose_numbers_were_published(truth):
    cv2 = pytest.importorskip("cv2")
    image = truth.astype(np.float32) / 255
    small = cv2.resize(image, (41, 30), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(scores.half(image), small, atol=1e-6)
    large = cv2.resize(small, (83, 61), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(scores.double(small, (61, 83)), large, atol=1e-6)


# --- refusing wrong results ------------------------------------------------------------------------------------------


def test_a_result_that_changed_a_known_pixel_is_refused_and_not_scored(truth, hole):
    result = truth.copy()
    result[0, 0, 2] ^= 1
    row = worker.judge(truth, result, hole, truth)
    assert (row["status"], row["outside"]) == ("refused", 1)
    assert "swd" not in row


@pytest.mark.parametrize("which", [0, 1])
def test_a_method_that_writes_into_its_input_is_refused(truth, hole, which):
    def careless(image, hole, seed):
        (image, hole)[which][20, 20] ^= True
        return image.copy()

    row = worker.run_once(careless, truth, hole, None, 0, {"repeats": 1, "pictures": "", "method": "careless"})
    assert (row["status"], row["why"]) == ("refused", "the method wrote into its input")


@pytest.mark.parametrize("wrong", [lambda a: a[:-1], lambda a: a.astype(np.uint16), lambda a: a[..., :1]])
def test_a_result_of_another_size_or_depth_is_refused(truth, hole, wrong):
    assert worker.judge(truth, wrong(truth), hole, None)["status"] == "refused"


def test_a_method_that_fails_or_is_missing_gives_a_row_that_says_so(truth, hole, tmp_path, monkeypatch):
    np.save(tmp_path / "image.npy", truth)
    np.save(tmp_path / "hole.npy", hole)

    def broken(image, hole, seed):
        if len(image) == len(truth):
            raise RuntimeError("no luck")
        return image

    def missing(_):
        raise peers.NotInstalled("install it")

    job = {"inputs": str(tmp_path), "options": {}, "seeds": [0, 1], "repeats": 1, "warm_up": True, "pictures": ""}
    for name, load, status, why in (
        ("broken", lambda _: (broken, "1"), "failed", "RuntimeError: no luck"),
        ("missing", missing, "skipped", "install it"),
    ):
        monkeypatch.setitem(peers.METHODS, name, peers.Method(name, name, load))
        rows = worker.measure(job | {"method": name})
        assert [(row["status"], row["why"], row["seed"]) for row in rows] == [(status, why, 0), (status, why, 1)]


# --- what is filled --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["blob", "stroke"])
@pytest.mark.parametrize(("centre", "pixels"), [((50, 40), 700), ((3, 2), 300), ((99, 79), 1), ((50, 40), 4000)])
def test_a_drawn_hole_has_exactly_the_pixels_asked_for(shape, centre, pixels, random):
    hole = suites.drawn_hole(shape, 100, 80, centre, pixels, random)
    assert hole.shape == (80, 100)
    assert hole.sum() == pixels


@pytest.mark.parametrize("name", list(SCENES))
def test_a_scene_is_the_same_for_the_same_seed_and_fills_its_range(name):
    first, again, other = (render(SCENES[name], 200, 150, seed) for seed in (3, 3, 4))
    assert first.shape == (150, 200, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.std() > 5


def test_a_synthetic_hole_shows_nothing_of_the_truth():
    case = suites.covered(render(SCENES["clouds"], 90, 70, 0), ("blob", 0.5, 0.5, 0.1), seed=0)
    assert case.hole.sum() == 630
    np.testing.assert_array_equal(case.image[~case.hole], case.truth[~case.hole])
    assert (case.image[case.hole] == case.truth[case.hole]).all(-1).mean() < 0.01


def test_open_cases_are_shrunk_with_their_hole_and_restore_keeps_the_photo_as_truth(tmp_path, truth, hole):
    from PIL import Image

    for kind in ("restore", "removal"):
        place = tmp_path / kind / "01-noise"
        place.mkdir(parents=True)
        Image.fromarray(truth).save(place / "image.png")
        Image.fromarray(np.where(hole, 255, 0).astype(np.uint8)).save(place / "mask.png")
    (restore,) = suites.open_cases("restore", tmp_path, 41)
    case = restore.make()
    assert (restore.suite, case.image.shape, case.hole.shape) == ("restore@41", (30, 41, 3), (30, 41))
    assert case.hole.mean() == pytest.approx(hole.mean(), rel=0.1)
    assert case.truth is case.image
    (removal,) = suites.open_cases("removal", tmp_path)
    assert removal.make().truth is None
    with pytest.raises(FileNotFoundError, match="--cases"):
        list(suites.open_cases("restore", tmp_path / "nowhere"))


def test_photographs_of_a_folder_get_the_same_hole_whichever_are_chosen(tmp_path, random):
    from PIL import Image

    for name in ("c.png", "a.png", "b.webp", "d.JPG"):
        Image.fromarray(random.integers(0, 256, (80, 100, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    all_of_them, second = suites.photographs(tmp_path), suites.photographs(tmp_path, every=2, first=1)
    cases = {recipe.name: recipe.make() for recipe in all_of_them}
    assert list(cases) == ["a", "b", "c", "d"]
    chosen = {recipe.name: recipe.make() for recipe in second}
    assert list(chosen) == ["b", "d"]
    for name, case in chosen.items():
        np.testing.assert_array_equal(case.hole, cases[name].hole)
        assert 0.01 <= case.hole.mean() <= 0.06
    assert (cases["a"].hole != cases["c"].hole).any()
    with pytest.raises(FileNotFoundError, match="4 pictures"):
        list(suites.photographs(tmp_path, first=4))


def test_two_runs_are_compared_case_by_case(tmp_path, capsys):
    def row(case: str, seed: int, swd: float, **more: object) -> dict:
        same = dict.fromkeys(("psnr", "ssim", "hf", "rim"), 1.0)
        whose = {"suite": "photos", "case": case, "method": "ours", "seed": seed, "status": "ok"}
        return whose | same | {"swd": swd} | more

    before = [row("x", 0, 1.0), row("x", 1, 3.0), row("y", 0, 5.0), row("gone", 0, 9.0)]
    after = [row("x", 0, 9.0), row("x", 0, 2.0), row("x", 1, 4.0), row("y", 0, 5.0), row("y", 1, 0, status="failed")]
    after.append(row("y", 0, 100.0, method="telea"))
    for name, rows in (("before", before), ("after", after)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert compare.main([str(tmp_path / "before"), str(tmp_path / "after")]) == 0
    said = capsys.readouterr().out
    assert "photos, 2 cases" in said
    assert "| swd | 3.500 | 4.000 | +0.500 ± 0.500 | x +1.00 | x +1.00 |" in said
    assert "| psnr | 1.000 | 1.000 | +0.000 ± 0.000 |  |  |" in said
    assert "1 of 2 changed." in said
    assert compare.main([str(tmp_path / "before"), str(tmp_path / "after"), "--method", "telea"]) == 2


def test_pictures_passed_to_other_programs_come_back_bit_for_bit(tmp_path, truth, hole):
    # pixels that look like white space right after the header must not be taken for it
    truth[0, :3] = ord("\n")
    for pixels in (truth, np.where(hole, 10, 32).astype(np.uint8)):
        peers.write_netpbm(tmp_path / "picture", pixels)
        np.testing.assert_array_equal(peers.read_netpbm(tmp_path / "picture"), pixels)


# --- from rows to a report -------------------------------------------------------------------------------------------


def row(method: str, case: str, seed: int, *, suite: str = "restore", status: str = "ok", **columns: float) -> dict:
    fixed = {"suite": suite, "case": case, "method": method, "seed": seed, "status": status}
    fixed |= {"hole_pixels": 100, "width": 40, "height": 30}
    if status == "ok":
        fixed |= {"seconds": 1.0, "cpu_s": 1.0, "peak_mb": 50.0}
        fixed |= {"psnr": 20.0, "ssim": 0.5, "swd": 2.0, "hf": 1.0, "rim": 1.0}
    return fixed | columns


def test_means_are_over_cases_of_means_over_seeds_and_the_latest_row_counts():
    results = report.Results.gather(
        [
            row("ours", "a", 0, swd=9.0),
            row("ours", "a", 1, swd=3.0),
            row("ours", "b", 0, swd=6.0),
            row("ours", "a", 0, swd=1.0),  # measured again
        ]
    )
    assert results.mean("swd", method="ours", cases=["a", "b"]) == pytest.approx(((1 + 3) / 2 + 6) / 2)


def test_only_cases_that_every_method_finished_are_compared():
    results = report.Results.gather(
        [
            row("ours", "a", 0),
            row("ours", "b", 0),
            row("telea", "a", 0),
            row("telea", "b", 0, status="refused", why="x"),
        ]
    )
    assert results.common_cases() == ["a"]
    text = report.summary(results)
    assert "Over the 1 of 2 cases" in text
    assert "OpenCV Telea on b, seed 0: refused, x" in text


def test_the_report_judges_ours_against_the_prototype_and_the_best_peer():
    results = report.Results.gather(
        [
            row("ours", "a", 0, swd=1.8, ssim=0.6, seconds=0.5),
            row("prototype", "a", 0, swd=2.0),
            row("resynthesizer", "a", 0, swd=3.0, ssim=0.4, seconds=2.0),
            row("telea", "a", 0, swd=4.0, ssim=0.7, seconds=0.1),
        ]
    )
    text = report.summary(results)
    assert "| swd over the prototype's | at most 0.9 | 0.900 | yes |" in text
    assert "| swd over the best peer's (Resynthesizer) | at most 0.75 | 0.600 | yes |" in text
    assert "| SSIM less that of Resynthesizer | above 0 | 0.200 | yes |" in text
    assert "| SSIM less the highest of any peer (OpenCV Telea, swd 4.00) | for information | -0.100 | no |" in text
    assert "| Resynthesizer | 1 | 4.00x | 4.00x | 4.00x |" in text


def test_methods_that_were_not_installed_do_not_shrink_the_comparison():
    results = report.Results.gather([row("ours", "a", 0), row("telea", "a", 0, status="skipped", why="pip install")])
    assert results.names("method") == ["ours"]


def test_a_run_writes_rows_and_pictures_goes_on_where_it_stopped_and_becomes_a_report(tmp_path, monkeypatch, capsys):
    pytest.importorskip("PIL")
    small = suites.covered(render(SCENES["clouds"], 90, 70, 0), ("blob", 0.5, 0.5, 0.05), seed=0)
    monkeypatch.setattr(suites, "synthetic", lambda: iter([suites.Recipe("synthetic", "tiny", lambda: small)]))
    calls = []

    def fake_process(job: dict, timeout: float) -> list[dict]:
        calls.append((job["method"], job["seeds"]))
        assert np.load(Path(job["inputs"]) / "truth.npy").shape == small.truth.shape
        monkeypatch.setitem(
            peers.METHODS,
            job["method"],
            peers.Method(job["method"], "copy", lambda _: (paint_truth, "1"), takes_seed=True),
        )
        return worker.measure(job | {"options": {}})

    def paint_truth(image, hole, seed):
        return small.truth.copy() if len(image) == len(small.truth) else image

    monkeypatch.setattr(run, "in_fresh_process", fake_process)
    arguments = ["--suite", "synthetic", "--methods", "ours", "--seeds", "0,1", "--out", str(tmp_path)]
    assert run.main(arguments) == 0
    assert run.main([*arguments, "--seeds", "0,1,2"]) == 0
    assert calls == [("ours", [0, 1]), ("ours", [2])]
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(one["seed"], one["status"], one["outside"]) for one in rows] == [(0, "ok", 0), (1, "ok", 0), (2, "ok", 0)]
    assert all({"machine", "cores", "commit", "load", "peak_mb", "version", "when"} <= one.keys() for one in rows)
    assert report.main([str(tmp_path), "--out", str(tmp_path / "report"), "--sheets"]) == 0
    assert "## synthetic" in (tmp_path / "report/summary.md").read_text()
    assert (tmp_path / "report/sheets/synthetic/tiny.png").is_file()


def test_only_takes_names_and_beginnings_but_not_parts_of_numbers(tmp_path):
    def chosen(*words: str) -> list[str]:
        return [recipe.name for recipe in run.choose(run.parse([*words, "--out", str(tmp_path)]))]

    assert chosen("--suite", "sweep", "--only", "hole-1000,size-640") == ["size-640x480", "hole-1000"]
    assert chosen("--only", "cl") == ["clouds", "cloth"]
    assert len(chosen("--suite", "speed,synthetic")) >= 14 + 12


def test_unknown_names_end_with_one_line_and_code_2(tmp_path, capsys):
    assert run.main(["--methods", "magic", "--out", str(tmp_path)]) == 2
    assert run.main(["--suite", "magic", "--out", str(tmp_path)]) == 2
    assert run.main(["--suite", "restore", "--out", str(tmp_path)]) == 2
    assert run.main(["--suite", "restore", "--cases", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 4
    assert report.main([str(tmp_path), "--out", str(tmp_path)]) == 2


# --- contact sheets --------------------------------------------------------------------------------------------------


def test_sheets_show_crops_unscaled_on_pages_that_fit_a_screen(tmp_path, random):
    from PIL import Image

    pixels = random.integers(0, 256, (400, 600, 3), np.uint8)
    paths = save_pages([(str(i), pixels) for i in range(7)], tmp_path / "case")
    assert [path.name for path in paths] == ["case-1.png", "case-2.png"]  # two across, three down
    page = np.asarray(Image.open(paths[0]))
    assert max(page.shape) <= 1600
    assert (page[28:428, 8:608] == pixels).all()


def test_the_crop_holds_the_hole_or_is_cut_but_never_scaled():
    hole = np.zeros((3000, 4000), bool)
    hole[100:200, 3900:4000] = True
    rows, columns = crop_around(hole)
    assert (rows.start, rows.stop, columns.start, columns.stop) == (60, 240, 3860, 4000)
    hole[:] = True
    rows, columns = crop_around(hole)
    assert max(rows.stop - rows.start, columns.stop - columns.start) <= 1560


def test_a_case_without_pictures_gets_no_sheet(tmp_path):
    assert draw_sheets(report.Results.gather([row("ours", "a", 0)]), [tmp_path], tmp_path / "sheets", 0) == []


def test_the_readme_gets_the_comparison_between_its_markers_and_nothing_else_changes():
    scored = [row("ours", "a", 0, suite="synthetic", swd=1.0), row("telea", "a", 0, suite="synthetic", swd=3.0)]
    scored += [row("ours", "b", 0, suite="restore@1000", swd=2.0), row("telea", "b", 0, suite="restore@1000", swd=5.0)]
    size = {"width": 1000, "height": 1000}
    timed = [row("ours", "c", 0, suite="speed", seconds=0.5, **size)]
    timed += [row("telea", "c", 0, suite="speed", seconds=2.0, **size)]
    timed += [row("telea", "large", 0, suite="speed", seconds=99.0, width=4000, height=3000)]
    section = readme.comparison(report.Results.gather(scored), report.Results.gather(timed))
    lines = {line.split("|")[1].strip(): line for line in section.splitlines() if line.startswith("|")}
    assert "| 1.50 |" in lines["ours"]
    assert "| 4.00 |" in lines["OpenCV Telea"]
    assert lines["OpenCV Telea"].endswith("| 4.0x |")
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    written = readme.between_markers(text, section)
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "old" not in written
    assert readme.between_markers(written, section) == written
    with pytest.raises(ValueError, match="has no"):
        readme.between_markers("no markers", section)
