import base64
import io
import os
import re
import shutil
import signal
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from runs.reporting.report import _duration, write_report
from runs.results import Result, as_records, results_of, with_pixels

if TYPE_CHECKING:
    from tests.runs.conftest import FinishedRun

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Tags, addresses and text of a page; the void elements aside, every tag must be closed in order."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data + " "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def write(run: "FinishedRun") -> Page:
    path = write_report(run.folder, run.summary, run.config_yaml, run.environment, run.records)
    assert path == run.folder.report
    return Page(path.read_text(encoding="utf-8"))


def words(page: Page) -> str:
    return " ".join(page.text.split())


def test_the_report_says_what_the_run_found_and_what_it_cost(finished_run: "FinishedRun") -> None:
    text = words(write(finished_run))
    for part in (
        "2 of 3 levels know their own labels.",
        "by more than the 95 % interval: clip.",
        "61.9 % ± 3.5 random init 41.0 · chance 10.0 ▲ above its floor own labels",
        "31.9 % ± 3.5 random init 30.1 · chance 8.3 = not above its floor own labels",
        "Collapse alarms. The last validation raised none.",
        "step 380: rank of time fell to 2.1, 9 % of its value at init",
        "Wall time 5 min 12 s",
        "Training 20 epochs, 760 steps",
        "Speed 231.7 windows/s, 1,853.6 frames/s",
        "Waiting for data 11.8 % of the time",
        "Peak memory 1,843 MB",
        "Device cpu · Some CPU @ 2.0 GHz",
        "Command python main.py quickstart.yaml num_epochs=20",
        "0123456789abcdef with uncommitted changes",
        "videos/17.mp4 truncated after 11 of 32 frames",
        "groups: [space, time, clip]",
        '"numpy": null',
    ):
        assert part in text


def test_the_report_is_one_small_self_contained_file(finished_run: "FinishedRun") -> None:
    page = write(finished_run)
    html = finished_run.folder.report.read_text(encoding="utf-8")
    assert finished_run.folder.report.stat().st_size < 5e6
    assert not re.search(r"""(src|href|url|action|data)\s*[=(]\s*["']?\s*(https?:|//|file:)""", html, re.IGNORECASE)
    assert "@import" not in html
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "embed", "base", "form")]
    assert page.all("html") == [{"lang": "en"}]
    assert "<title>moving_digits_1 · run report</title>" in html
    images = page.all("img")
    assert len(images) == 4
    for image in images:
        assert image["alt"]
        kind, _, data = str(image["src"]).partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            picture.load()
            assert [str(size) for size in picture.size] == [image["width"], image["height"]]


def test_the_report_says_how_to_read_the_monitors(finished_run: "FinishedRun") -> None:
    text = words(write(finished_run))
    for word in ("LiDAR", "Effective rank", "Standard deviation", "another video's", "CKA", "gradient is 0"):
        assert word in text.partition("Collapse watch")[2].partition("PCA")[0]


def test_text_is_escaped(finished_run: "FinishedRun") -> None:
    evil = '<script>alert("1")</script>&amp;'
    finished_run.summary["command"] = evil
    finished_run.summary["alarms"] = [evil]
    evil_result = Result(evil, evil, "test", evil, evil, evil, 50.0, unit=evil)
    finished_run.summary["results"] = as_records([evil_result])
    finished_run.environment["device_name"] = evil
    finished_run.folder.bad_videos.write_bytes(b'path,reason\n"\xff' + evil.replace('"', '""').encode() + b'",x\n')
    run = finished_run._replace(config_yaml=evil)
    page = write(run)
    assert not page.all("script")
    assert page.text.count(evil) == 13


def test_the_headline_is_good_only_where_every_level_knows_its_own_labels(finished_run: "FinishedRun") -> None:
    (program,) = [
        result
        for result in finished_run.summary["results"]
        if (result["evaluation"], result["level"], result["labels"]) == ("knn", "clip", "program")
    ]
    program["value"] = 33.7
    assert "Every level knows its own labels" in write(finished_run).text
    program["value"] = float("nan")
    assert "2 of 3 levels know their own labels." in write(finished_run).text


@pytest.mark.parametrize(
    ("alarms", "last", "told"),
    [
        ([], [], "No collapse: no alarm was raised."),
        (["time: rank 1.0"], ["time: rank 1.0"], "Collapse alarms. The last validation still raised one."),
        (["step 5: time: rank 1.0"], [], "Collapse alarms. The last validation raised none."),
        (None, [], "Collapse Not measured."),
    ],
)
def test_a_collapse_is_announced(
    finished_run: "FinishedRun", alarms: list[str] | None, last: list[str], told: str
) -> None:
    finished_run.summary["alarms"] = alarms
    finished_run.records[-1]["alarms"] = last
    assert told in words(write(finished_run))


def test_a_supervised_run_shows_its_accuracy(finished_run: "FinishedRun") -> None:
    result = Result("supervised", "d", "test", None, "program", "top1", 83.25, chance=8.33, interval=2.7, own=True)
    finished_run.summary["results"] += as_records([result])
    finished_run.summary["evaluations"]["supervised"] = {
        "title": "supervised",
        "heading": "Supervised accuracy on the test split",
        "note": "",
    }
    text = words(write(finished_run))
    assert "Supervised accuracy on the test split (program) 83.2 % ± 2.7 chance 8.3 ▲ above its floor" in text


def look(name: str, labels: str, value: float) -> Result:
    return Result("knn", "moving_digits", "test", name, labels, "top1", value, chance=10.0)


@pytest.mark.parametrize(
    ("motion", "told"),
    [
        (40.0, "2 of 3 levels know their own labels. Not above the higher one of random init and chance by more than"),
        (70.0, "clip. Plain pixels, without any learning, do as well within that interval, or better: time."),
    ],
)
def test_pixels_are_a_third_floor_with_a_table_of_their_own(
    finished_run: "FinishedRun", motion: float, told: str
) -> None:
    looks = [look("mean frame", "motion", 30.04), look("frame differences", "motion", motion)]
    looks += [look("mean frame", "digit", 9.0)]
    finished_run.summary["pixel_floors"] = as_records(looks)
    results = with_pixels(results_of(finished_run.summary), looks)
    finished_run.summary["results"] = as_records(results)
    text = words(write(finished_run))
    assert told in text
    assert ("Plain pixels" in text) == (motion == 70.0)
    verdict = "= not above its floor" if motion == 70.0 else "\u25b2 above its floor"
    assert f"71.4 % \u00b1 3.5 random init 52.1 \u00b7 chance 25.0 \u00b7 pixels {motion} {verdict} own labels" in text
    assert f"mean frame frame differences kNN, motion 30.0 {motion} kNN, digit 9.0 \u2013" in text


def test_what_was_skipped_is_told(finished_run: "FinishedRun") -> None:
    finished_run.summary.update({"results": [], "skipped": {"knn": "clips has no labels"}})
    text = words(write(finished_run))
    assert "This run was not scored." in text
    assert "knn was skipped: clips has no labels." in text


def test_results_of_other_data_and_other_units_have_tables_of_their_own(finished_run: "FinishedRun") -> None:
    results = [
        Result("lips", "lips_phrases", "test", "clip", "phrase", "top1", 44.0, random_init=18.0, chance=10.0),
        Result("search", "lips_phrases", "test", "clip", None, "median rank", 3.0, unit="places"),
    ]
    finished_run.summary["results"] += as_records(results)
    finished_run.summary["evaluations"]["lips"] = {"title": "kNN (lips)", "heading": "Nearest (lips)", "note": "Note."}
    page = write(finished_run)
    text = words(page)
    assert "Nearest (lips) Note. top1 on the test videos of lips_phrases, %" in text
    assert "44.0 % random init 18.0 · chance 10.0 ? not comparable" in text
    assert "search median rank on the test videos of lips_phrases, places" in text
    assert "3.0 places" in text


def test_absent_parts_are_left_out(finished_run: "FinishedRun") -> None:
    for path in finished_run.folder.figures.iterdir():
        path.unlink()
    finished_run.folder.bad_videos.unlink()
    path = write_report(finished_run.folder, {}, "", {}, [])
    text = words(Page(path.read_text(encoding="utf-8")))
    assert "This run was not scored." in text
    assert "Figures" not in text
    assert "Unreadable videos None." in text


def test_a_long_list_of_bad_videos_is_cut(finished_run: "FinishedRun") -> None:
    rows = "".join(f"v{number:03}.mp4,broken\n" for number in range(120))
    finished_run.folder.bad_videos.write_text("path,reason\n" + rows, encoding="utf-8")
    text = words(write(finished_run))
    assert "120 left out; the first 50 are shown, bad_videos.csv has all." in text
    assert text.count("broken") == 50


def test_figures_that_failed_and_the_choice_of_the_checkpoint_are_told(finished_run: "FinishedRun") -> None:
    finished_run.summary["failed_figures"] = {"umap.png": "ValueError: <b> & so on"}
    finished_run.summary["chosen"] = "step 9, the last one: validation cannot choose"
    text = words(write(finished_run))
    assert "umap.png could not be drawn: ValueError: <b> & so on" in text
    assert "Encoder of step 9, the last one: validation cannot choose" in text
    for path in finished_run.folder.figures.iterdir():
        path.unlink()
    assert "umap.png could not be drawn" in words(write(finished_run))


def test_durations_are_words() -> None:
    assert [_duration(seconds) for seconds in (0.4, 59.6, 312.4, 3600, 7384)] == [
        "0 s",
        "1 min 0 s",
        "5 min 12 s",
        "1 h 0 min",
        "2 h 3 min",
    ]


# ------------------------------------------------------------------------------------------- in a real browser


def chromium(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    quiet = ("background-networking", "component-update", "sync")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
    flags += [f"--disable-{name}" for name in quiet]
    flags += [f"--user-data-dir={profile}", "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"]
    process = subprocess.Popen(
        [str(CHROMIUM), *flags, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate()
    except BaseException:  # such as pytest's timeout
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def console_lines(answer: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in answer.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_a_browser_renders_and_prints_the_report_without_a_complaint(
    finished_run: "FinishedRun", tmp_path: Path
) -> None:
    write(finished_run)
    address = finished_run.folder.report.as_uri()
    dom = chromium(tmp_path / "profile", "--dump-dom", address)
    assert dom.returncode == 0
    assert console_lines(dom) == []
    assert Page(dom.stdout).all("img") == Page(finished_run.folder.report.read_text(encoding="utf-8")).all("img")

    screenshot, pdf = tmp_path / "page.png", tmp_path / "page.pdf"
    shot = chromium(tmp_path / "profile", "--window-size=400,3000", f"--screenshot={screenshot}", address)
    assert console_lines(shot) == []
    with Image.open(screenshot) as picture:
        colours = picture.convert("RGB").getcolors(maxcolors=1 << 24)
        assert picture.size[1] == 3000
    assert colours is not None
    assert {(27, 31, 36), (42, 157, 116)} <= {colour for _, colour in colours}  # the ink, and a bar above its floor
    printed = chromium(tmp_path / "profile", "--no-pdf-header-footer", f"--print-to-pdf={pdf}", address)
    assert console_lines(printed) == []
    assert pdf.read_bytes()[:5] == b"%PDF-"


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_the_browser_would_complain_of_a_script_and_of_something_from_outside(
    finished_run: "FinishedRun", tmp_path: Path
) -> None:
    write(finished_run)
    html = finished_run.folder.report.read_text(encoding="utf-8")
    for index, intruder in enumerate(('<img src="http://outside.invalid/a.png">', "<script>1</script>")):
        page = tmp_path / f"intruder_{index}.html"
        page.write_text(html.replace("</main>", f"{intruder}</main>"), encoding="utf-8")
        (line,) = console_lines(chromium(tmp_path / "profile", "--dump-dom", page.as_uri()))
        assert "Content Security Policy" in line
