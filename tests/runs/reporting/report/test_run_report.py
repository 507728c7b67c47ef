import base64
import io
import re
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from runs.reporting.report.facts import duration
from runs.reporting.report.run_report import Progress, renew_report, write_report
from runs.results import Result, as_records, results_of, with_pixels
from tests.runs.reporting.report.html_page import Page, words

if TYPE_CHECKING:
    from tests.runs.conftest import FinishedRun


def write(run: "FinishedRun") -> Page:
    path = write_report(run.folder, run.summary, run.config_yaml, run.environment, run.records)
    assert path == run.folder.report
    return Page(path.read_text(encoding="utf-8"))


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
    assert not [tag for tag, _ in page.tags if tag in ("iframe", "object", "embed", "base", "form")]
    assert page.all("script") == [{"type": "application/json", "id": "data"}, {}]
    assert page.all("html") == [{"lang": "en"}]
    assert "<title>moving_digits_1 · run report</title>" in html
    images = page.all("img")
    assert len(images) == 1  # the curves are no pictures
    for image in images:
        assert image["alt"]
        kind, _, data = str(image["src"]).partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            picture.load()
            assert [str(size) for size in picture.size] == [image["width"], image["height"]]


def test_the_report_says_how_to_read_the_monitors(finished_run: "FinishedRun") -> None:
    text = words(write(finished_run))
    for word in ("LiDAR", "effective rank", "standard deviation", "another video's", "CKA", "gradient is 0"):
        assert word in text.partition("Collapse watch")[2].partition("Alarms")[0]


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
    assert len(page.all("script")) == 2
    assert page.text.count(evil) == 14


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
        (None, [], "Alarms Not measured."),
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
    assert "Pictures" not in text
    assert "The defaults, unchanged." in text
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


def testdurations_are_words() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.6, 312.4, 3600, 7384)] == [
        "0 s",
        "1 min 0 s",
        "5 min 12 s",
        "1 h 0 min",
        "2 h 3 min",
    ]


# ------------------------------------------------------------------------------------------ while a run goes on


def test_while_a_run_goes_on_the_last_validation_stands_in_for_the_test(finished_run: "FinishedRun") -> None:
    known = {key: finished_run.summary[key] for key in ("evaluations", "own_labels", "task")}
    progress = Progress(380, 760, 10, 20)
    upto = [record for record in finished_run.records if record["step"] <= 380]
    path = write_report(finished_run.folder, known, finished_run.config_yaml, finished_run.environment, upto, progress)
    page = Page(path.read_text(encoding="utf-8"))
    text = words(page)
    assert "In training: at step 380 of 760, 10 of 20 epochs done." in text
    assert "top1 on the validation videos, %" in text
    assert "47.0 %" in text  # clip on program, after 380 steps
    assert "Collapse alarms. The last validation still raised one." in text
    assert "resume=true" in text
    assert [attributes for attributes in page.all("div") if "data-renews" in attributes]
    assert len(page.all("img")) == 1  # the windows: other pictures are drawn at the end


def test_a_stopped_run_does_not_ask_to_be_looked_at_again(finished_run: "FinishedRun") -> None:
    path = write_report(finished_run.folder, {}, "", {}, finished_run.records, Progress(3, None, 0, 20, stopped=True))
    page = Page(path.read_text(encoding="utf-8"))
    assert "Stopped at step 3, 0 of 20 epochs done." in words(page)
    assert not [attributes for attributes in page.all("div") if "data-renews" in attributes]


def test_a_report_that_cannot_be_renewed_costs_no_training(
    finished_run: "FinishedRun", caplog: pytest.LogCaptureFixture
) -> None:
    finished_run.folder.metrics.write_text('{"kind": "step"}\nno json\n{}\n', encoding="utf-8")
    renew_report(finished_run.folder, {}, "", {}, Progress(1, 2, 0, 1))
    assert "could not be renewed" in caplog.text
    assert "line 2 is damaged" in caplog.text
    assert not finished_run.folder.report.exists()


# -------------------------------------------------------------------------------------------------- its parts


def test_the_config_is_its_difference_from_the_defaults(finished_run: "FinishedRun") -> None:
    run = finished_run._replace(config_yaml="batch_size: 7\nhierarchy:\n  patch_size: 9\n  frames_per_clip: 4\n")
    page = write(run)
    text = words(page)
    assert "What this run has other than the defaults. key this run default batch_size 7 32" in text
    assert "patch_size 9" not in text.partition("The whole config")[0]


def test_the_first_table_has_every_level_on_its_own_labels_alone(finished_run: "FinishedRun") -> None:
    first = words(write(finished_run)).partition("Scores")[0]
    assert "level · labels kNN linear probe space · digit 61.9 %" in first
    assert "66.4 %" in first  # its linear probe
    assert "47.8 %" not in first  # of space on motion


def test_what_can_be_done_next_is_told(finished_run: "FinishedRun") -> None:
    text = words(write(finished_run))
    folder = finished_run.folder.root.resolve()
    for line in (
        f".venv/bin/python eval.py {folder} --export-features features.npz",
        f".venv/bin/python report.py {folder} OTHER_RUN",
        f"./launcher.sh cpu {folder}/config.yaml resume=true num_epochs=N",
    ):
        assert line in text
