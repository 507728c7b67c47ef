"""The reports as people use them: in a real browser, with pointer and keys, wide and narrow, light and dark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from runs.folder import RunFolder
from runs.reporting.report.comparison import write_comparison
from runs.reporting.report.run_files import RunFiles
from runs.reporting.report.run_report import Progress, write_report
from runs.reporting.report.scatter import DATA, FORM, PICTURES
from tests.runs.reporting.report.browser import CHROMIUM, Browser, browser

if TYPE_CHECKING:
    from tests.runs.conftest import FinishedRun

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")

EVIL = '</script><script>alert("1")</script><img src=x onerror=alert(2)>&amp;\u202eabc'
COLOURS = ["#332288", "#e69f00"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def add_scatter(folder: Path) -> None:
    """Four videos in two sets: of the second one there are three epochs, and levels differ in their places."""

    def points(title: str, epochs: list[str]) -> dict[str, object]:
        whole = {
            "pca/space/1": [0, 0, 1000, 1000, 0, 1000, 1000, 0],
            "pca/clip/1": [1000, 0, 0, 0, 0, 1000, 1000, 1000],
        }
        halves = [place for number in range(8) for place in (number * 100, 500)]
        places: dict[str, list[object]] = {key: [value for _ in epochs] for key, value in whole.items()}
        places |= {"pca/space/2": [halves for _ in epochs], "pca/clip/2": ["collapsed:\nall alike" for _ in epochs]}
        return {
            "title": title,
            "videos": [EVIL, "b.mp4", "c.mp4", "d.mp4"],
            "labels": {
                "program": {"parts": 1, "classes": ["up", EVIL], "values": [[1], [0], [0], [-1]]},
                "motion": {"parts": 2, "classes": ["left", "right"], "values": [[0, 1], [1, 0], [0, 0], [1, 1]]},
            },
            "texts": {"tags": ["x", "y", "", EVIL]},
            "own": {"space": "program", "clip": "program"},
            "levels": ["space", "clip"],
            "epochs": epochs,
            "shown": {"1": [0, 1, 2, 3], "2": [0, 1, 2, 3]},
            "points": places,
            "sprite": {"columns": 2, "frames": 3, "width": 20, "height": 10},
        }

    for number in (0, 1):
        sheet = Image.new("RGB", (2 * 3 * 20, 2 * 10))
        for place in range(12):  # each frame of each video has a grey of its own
            sheet.paste((place * 20,) * 3, (place % 6 * 20, place // 6 * 10, place % 6 * 20 + 20, place // 6 * 10 + 10))
        sheet.save(folder / PICTURES.format(number), "WEBP", lossless=True)
    sets = [
        points("4 test videos", ["end of training"]),
        points("4 validation videos", ["random init", "epoch 1", "epoch 2"]),
    ]
    content = {"form": FORM, "methods": {"pca": "PCA"}, "colours": COLOURS, "markers": "os^D", "sets": sets}
    (folder / DATA).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def report(finished_run: FinishedRun) -> Path:
    finished_run.folder.bad_videos.write_text(
        f'path,reason\n"{EVIL.replace(chr(34), chr(34) * 2)}",x\n', encoding="utf-8"
    )
    add_scatter(finished_run.folder.figures)
    run = finished_run
    return write_report(run.folder, run.summary, run.config_yaml, run.environment, run.records)


def quiet(page: Browser, address: str) -> None:
    """Nothing is complained of, and nothing but the page itself asked for."""
    assert page.complaints == []
    assert {request for request in page.requests if not request.startswith("data:")} == {address}


def opened(page: Browser, path: Path, width: int = 1280, *, dark: bool = False) -> str:
    page.complaints.clear()
    page.requests.clear()
    page.size(width, 900, dark=dark)
    page.open(path.as_uri())
    return path.as_uri()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_without_a_complaint_or_a_request(
    chromium: Browser, report: Path, width: int, dark: bool, tmp_path: Path
) -> None:
    address = opened(chromium, report, width, dark=dark)
    assert chromium.ask("document.documentElement.scrollWidth") == width
    chromium.picture(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.convert("RGB").getpixel((2, 2)) == ((20, 23, 27) if dark else (255, 255, 255))
    assert chromium.ask("window.alerted ?? 0") == 0
    quiet(chromium, address)


def test_a_curve_says_its_values_under_the_pointer_and_by_keys(chromium: Browser, report: Path) -> None:
    address = opened(chromium, report)
    chart = '.chart[aria-label^="kNN · clip · program"]'
    left, top, width, height = chromium.place(f"{chart} svg")
    chromium.point_at(left + width - 15, top + height / 2)
    tip = chromium.ask(f"document.querySelector('{chart} .tip').innerText")
    assert "step 760" in tip
    assert "score 49.55 %" in tip
    assert "random init 30 %" in tip
    chromium.ask(f"document.querySelector('{chart}').focus()")
    chromium.press("ArrowRight")
    chromium.press("ArrowRight")
    assert "step 190, score 42.27 %" in chromium.ask(f"document.querySelector('{chart} [aria-live]').textContent")
    chromium.press("Escape")
    assert chromium.ask(f"document.querySelector('{chart} .tip').hidden")
    quiet(chromium, address)


def find_point(page: Browser, across: int, down: int) -> tuple[float, float]:
    """Where a corner of the points is: they fill 90 % of the shorter side of the drawing."""
    left, top, width, height = page.place(".plot")
    side = min(width, height) * 0.9
    return left + width / 2 + across * side / 2, top + height / 2 + down * side / 2


def tip_of(page: Browser) -> str | None:
    text: str | None = page.ask("(tip => tip.hidden ? null : tip.innerText)(document.querySelector('.plot .tip'))")
    return text


def choose(page: Browser, name: str, value: str) -> None:
    page.ask(
        f"(select => {{ select.value = {json.dumps(value)}; select.dispatchEvent(new Event('change')); }})"
        f"(document.querySelector('.switches [name={name}]'))"
    )


def test_a_point_shows_its_video_and_a_click_its_frames(chromium: Browser, report: Path) -> None:
    address = opened(chromium, report)
    assert chromium.ask("document.querySelector('.switches [name=level]').value") == "clip"
    place = find_point(chromium, 1, 1)  # in clip, the first video lies at the lower right
    chromium.point_at(*place)
    tip = tip_of(chromium)
    assert tip is not None
    assert f"program: {EVIL}" in tip  # as it is: no element came of it
    grey = "[...document.querySelector('{}').getContext('2d').getImageData(5, 5, 1, 1).data]"
    chromium.until(f"{grey.format('.tip canvas')}[0] === 20")  # the middle one of its three frames
    chromium.point_at(*place, click=True)
    assert EVIL in chromium.ask("document.querySelector('.strip').innerText")
    assert chromium.ask("document.querySelectorAll('.strip canvas').length") == 3
    chromium.until(f"{grey.format('.strip canvas:last-child')}[0] === 40")
    chromium.point_at(*find_point(chromium, 0, 0))
    assert tip_of(chromium) is None
    assert chromium.ask("document.querySelectorAll('img[src=x], #scatter script').length") == 0
    quiet(chromium, address)


def test_level_labels_videos_and_epoch_are_switched(chromium: Browser, report: Path) -> None:
    address = opened(chromium, report)
    choose(chromium, "level", "space")
    assert "PCA, space, 4 test videos" in chromium.ask("document.querySelector('.plot').ariaLabel")
    chromium.point_at(*find_point(chromium, -1, 1))
    assert EVIL in str(tip_of(chromium))
    choose(chromium, "labels", "motion")
    assert "8 points" in chromium.ask("document.querySelector('.plot').ariaLabel")
    assert chromium.ask("document.querySelector('.legend').innerText").split() == ["left", "right"]
    choose(chromium, "level", "clip")
    assert chromium.ask("document.querySelector('.why').textContent") == "collapsed:\nall alike"
    choose(chromium, "set", "1")
    slider = "document.querySelector('.switches [name=epoch]')"
    chromium.ask(f"{slider}.focus()")
    chromium.press("ArrowRight")
    assert chromium.ask(f"{slider}.getAttribute('aria-valuetext')") in ("epoch 1", "random init")
    chromium.ask(f"{slider}.value = 2; {slider}.dispatchEvent(new Event('input'))")
    assert "epoch 2" in chromium.ask("document.querySelector('.plot').ariaLabel")
    quiet(chromium, address)


def test_points_are_reached_and_zoomed_by_keys(chromium: Browser, report: Path) -> None:
    address = opened(chromium, report)
    chromium.place(".plot")
    chromium.ask("document.querySelector('.plot').focus()")
    said = "document.querySelector('#scatter p.unseen').textContent"
    chromium.press("ArrowRight")  # the first one: of four at the same distance, any
    chromium.press("ArrowLeft")
    chromium.press("ArrowDown")
    assert chromium.ask(said) == "b.mp4, program: up"  # at the lower left of clip
    chromium.press("ArrowUp")
    assert chromium.ask(said) == "c.mp4, program: up"
    chromium.press("Enter")
    assert "c.mp4" in chromium.ask("document.querySelector('.strip').innerText")
    for _ in range(4):
        chromium.press("+")
    chromium.press("Escape")
    chromium.point_at(*find_point(chromium, -1, -1))
    assert tip_of(chromium) is None  # it has moved out of the drawing
    chromium.press("0")
    chromium.point_at(*find_point(chromium, 0, 0))
    chromium.point_at(*find_point(chromium, -1, -1))
    assert "c.mp4" in str(tip_of(chromium))
    quiet(chromium, address)


def test_a_pressed_class_stands_out(chromium: Browser, report: Path) -> None:
    opened(chromium, report)
    names = chromium.ask("[...document.querySelectorAll('.legend button')].map(button => button.textContent)")
    assert names == ["up", EVIL, "no label"]
    chromium.ask("document.querySelector('.legend button').click()")
    assert chromium.ask("document.querySelector('.legend button').ariaPressed") == "true"
    chromium.ask("document.querySelector('.legend button').click()")
    assert chromium.ask("document.querySelector('.legend button').ariaPressed") == "false"


def test_it_prints(chromium: Browser, report: Path, tmp_path: Path) -> None:
    opened(chromium, report)
    chromium.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes()[:5] == b"%PDF-"
    assert chromium.ask("[...document.querySelectorAll('details.printed')].every(part => part.open)")


def test_no_other_script_could_run(chromium: Browser, report: Path, tmp_path: Path) -> None:
    html = report.read_text(encoding="utf-8")
    intruders = (
        "<script>window.intruded = 1</script><img src='http://outside.invalid/a.png' onerror='window.intruded = 2'>"
    )
    page = tmp_path / "intruder.html"
    page.write_text(html.replace("</main>", f"{intruders}</main>"), encoding="utf-8")
    opened(chromium, page)
    assert chromium.ask("window.intruded ?? 0") == 0
    assert len([line for line in chromium.complaints if "Content Security Policy" in line]) >= 2


def test_everything_has_a_name_and_enough_contrast(chromium: Browser, report: Path) -> None:
    opened(chromium, report)
    assert chromium.ask("[...document.querySelectorAll('img')].every(image => image.alt)")
    nameless = "[...document.querySelectorAll('select, input, button, [tabindex]')].filter(each => !(each.ariaLabel || "
    assert chromium.ask(f"{nameless}each.labels?.length || each.textContent.trim())).map(each => each.outerHTML)") == []
    levels = chromium.ask("[...document.querySelectorAll('h1, h2, h3')].map(heading => Number(heading.tagName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for dark in (False, True):
        chromium.size(1280, 900, dark=dark)
        assert chromium.ask(POOR_CONTRAST) == []


# Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3).
POOR_CONTRAST = """
(() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (each) => {
    for (; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const each = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || each.closest("script, svg")) continue;
    const pair = [light(getComputedStyle(each).color), light(behind(each))].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < 4.5) poor.add(`${each.tagName}.${each.className} ${contrast.toFixed(2)}`);
  }
  return [...poor];
})()
"""


def test_lines_can_be_seen_on_the_paper() -> None:
    """At least 3 to 1 (WCAG 2.2, 1.4.11), light and dark."""
    style = (Path(__file__).parents[4] / "runs/reporting/report/style.css").read_text(encoding="utf-8")
    for block in re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)[:2]:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block))
        paper = luminance(colours["paper"])
        for name, colour in colours.items():
            if re.fullmatch(r"c\d", name):
                pair = sorted((paper, luminance(colour)))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3, (name, colour)


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# ------------------------------------------------------------------------------------------------- other pages


def test_a_page_of_a_run_that_goes_on_renews_itself_where_it_is_let(
    chromium: Browser, finished_run: FinishedRun
) -> None:
    run = finished_run
    path = write_report(run.folder, {}, run.config_yaml, run.environment, run.records, Progress(5, 10, 1, 2))
    opened(chromium, path)
    box = "document.querySelector('#progress input')"
    assert chromium.ask(f"{box}.checked && !{box}.parentElement.hidden")
    chromium.ask(f"{box}.click()")
    assert chromium.ask("location.hash") == "#still"
    chromium.ask("location.reload()")
    chromium.until(f"document.readyState === 'complete' && {box} && !{box}.checked")


def test_a_comparison_is_a_page_like_any_other(chromium: Browser, finished_run: FinishedRun, tmp_path: Path) -> None:
    run, folder = finished_run, finished_run.folder
    files = RunFiles(folder, run.config_yaml, {"command": EVIL}, run.records, run.summary)
    evil_yaml = run.config_yaml + f"dataset: {{root: {json.dumps(EVIL)}}}\n"
    second = RunFiles(RunFolder(tmp_path / "other"), evil_yaml, {}, run.records, {})
    address = opened(chromium, write_comparison([files, second], tmp_path / "comparison.html"), 390)
    assert chromium.ask("document.documentElement.scrollWidth") == 390
    text = chromium.ask("document.body.innerText")
    assert "moving_digits_1, other" in text
    assert EVIL.replace("\u202e", "") in text.replace("\u202e", "").replace("\\u202E", "")
    left, top, width, height = chromium.place(".chart svg")
    chromium.point_at(left + width / 2, top + height / 2)
    assert "other" in chromium.ask("document.querySelector('.chart .tip').innerText")
    quiet(chromium, address)
