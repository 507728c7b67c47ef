"""Validation, the final test, and whether validation can choose between checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import eval as evaluation
from config.schema import Config
from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from data_utils.formats.video import VideoReader
from data_utils.views.normalise import normalise
from eval import FinalTest, Validation, Validator, choosing_score, final_test, too_few_labels, why_no_choice
from monitors import effective_rank, gradient_norms, lidar, linear_cka, shuffled_ratios, spread
from protocols.encoding import encode_split
from protocols.evaluation import EvaluationData, Plan, plan_evaluations
from protocols.knn import knn_scores, knn_settings
from protocols.metrics import chance, confidence_interval
from runs.process.seeds import seed_everything
from runs.results import Result, nested, primary
from tasks import build_task
from tasks.task import Task
from tests.protocols.clouds import values

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
MIDDLE = np.arange(5, 11)  # the middle window of 6 of 16 frames
LABELS = {"digit": 10, "motion": 4, "program": 12}
LEVELS = ("space", "time", "clip")


def bad_list(folder: Path, max_share: float = 0.5) -> BadVideos:
    return BadVideos(folder / "bad_videos.csv", total=48, max_share=max_share, dataset="digits")


def make_plan(config: Config, catalogs: dict[str, Catalog], folder: Path) -> Plan:
    return plan_evaluations(config, EvaluationData.of(catalogs, config, bad_list(folder)), folder / "bad_videos.csv")


def make_validator(task: Task, catalogs: dict[str, Catalog], config: Config, folder: Path) -> Validator:
    return Validator(task, make_plan(config, catalogs, folder), config, CPU)


def make_task(config: Config, catalogs: dict[str, Catalog], seed: int = 0) -> Task:
    seed_everything(seed)
    return build_task(config, catalogs["train"])


def test_validation_of_the_untrained_encoder_is_the_floor_of_the_next(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    config = tiny_config("knn_bank=10")
    task = make_task(config, tiny_catalogs)
    validator = make_validator(task, tiny_catalogs, config, tmp_path)
    at_init = validator.run(None)
    knn_at_init = nested(at_init.results)["knn"]
    assert list(knn_at_init) == ["space", "time", "clip"]
    bank = encode_split(task.encoder, tiny_catalogs["train"].sample(10, config.seed), config, CPU, bad_list(tmp_path))
    queries = encode_split(task.encoder, tiny_catalogs["val"], config, CPU, bad_list(tmp_path))
    assert len(bank.rows) == 10
    labels = {level: list(LABELS) for level in LEVELS}
    expected = values(knn_scores(bank, queries, labels, knn_settings(config.evaluations)))
    for level, by_labels in knn_at_init.items():
        assert set(by_labels) == set(LABELS)
        for name, score in by_labels.items():
            assert score["top1"] == score["random_init"] == expected[level][name]
            assert score["chance"] == chance(tiny_catalogs["val"].labels[name])
    assert at_init.alarms == []

    with torch.no_grad():
        for parameter in task.parameters():
            parameter.zero_()  # a collapse
    steps: list[dict[str, Any]] = [{"kind": "validation"}, {"kind": "validation"}]
    steps += [{"kind": "step", "grad_norm": {"space": 0.0, "time": 2.0, "clip": None}}]
    later = validator.run(at_init, steps)
    for level, by_labels in nested(later.results)["knn"].items():
        for name, score in by_labels.items():
            assert score["random_init"] == knn_at_init[level][name]["top1"]
    levels = ("space", "time", "clip")
    assert later.rank == dict.fromkeys(levels, 1.0)
    assert later.monitors["lidar"] == dict.fromkeys(levels, 1.0)
    assert later.monitors["cka"] == {}
    expected_words = [
        *(f"rank of {level} fell to 1.0" for level in levels),
        *(f"std of {level} fell to" for level in levels),
        *(f"predictions of {level} say nothing" for level in levels),
        "gradient norm of space is 0",
        "gradient norm of clip is not finite",
    ]
    for words in expected_words:
        assert len([alarm for alarm in later.alarms if alarm.startswith(words)]) == 1, words


def test_the_monitors_are_those_of_the_validation_videos(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    config = tiny_config()
    task = make_task(config, tiny_catalogs).train()
    validator = make_validator(task, tiny_catalogs, config, tmp_path)
    at_init = validator.run(None)
    steps = [{"kind": "step", "grad_norm": {"space": 3.0}}]
    later = validator.run(at_init, steps)
    split = encode_split(task.encoder, tiny_catalogs["val"], config, CPU, bad_list(tmp_path))
    windows, rows = split.singles.views, split.singles.rows_W
    video = {level: features[:, 0] for level, features in split.features[1].items()}
    assert rows.tolist() == [row for row in range(12) for _ in range(2)]
    assert later.rank == {level: effective_rank(vectors) for level, vectors in split.singles.units.items()}
    assert later.std == {level: spread(vectors) for level, vectors in split.singles.units.items()}
    assert later.monitors["lidar"] == {level: lidar(vectors, rows) for level, vectors in windows.items()}
    assert later.monitors["cka"] == {
        f"{one}-{other}": linear_cka(video[one], video[other])
        for one, other in (("space", "time"), ("space", "clip"), ("time", "clip"))
    }
    assert later.monitors["grad_norm"] == gradient_norms(steps) == {"space": 3.0}
    assert {name: list(values) for name, values in later.monitors.items() if name.startswith("shuffled")} == {
        "shuffled_up": ["space", "time"],
        "shuffled_down": ["space", "time", "clip"],
        "shuffled_side": ["space", "time"],
    }
    assert "grad_norm" not in at_init.monitors
    assert task.training
    # Nothing was trained in between, and nothing is drawn anew.
    assert {name: values for name, values in later.monitors.items() if name != "grad_norm"} == at_init.monitors
    assert all(parameter.grad is None for parameter in task.parameters())


@pytest.mark.parametrize(("batch_size", "sizes"), [(5, [5, 5, 2]), (1, [2] * 6), (64, [12])])
def test_predictions_are_asked_about_one_window_of_each_video(
    tiny_config: MakeConfig,
    tiny_catalogs: dict[str, Catalog],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    sizes: list[int],
) -> None:
    config = tiny_config(f"batch_size={batch_size}")
    seen: list[torch.Tensor] = []

    def record(task: Task, videos: Any, seed: int) -> dict[str, dict[str, float]]:
        seen.extend(videos)
        return shuffled_ratios(task, seen, seed)

    monkeypatch.setattr(evaluation, "shuffled_ratios", record)
    monkeypatch.setattr(evaluation, "MONITOR_BATCHES", 7)
    task = make_task(config, tiny_catalogs)
    make_validator(task, tiny_catalogs, config, tmp_path).run(None)
    assert [len(video) for video in seen] == sizes
    videos = torch.cat(seen)
    assert len(torch.unique(videos.flatten(1), dim=0)) == 12
    middle = torch.from_numpy(
        VideoReader().read(tiny_catalogs["val"].root / tiny_catalogs["val"].table["path"].iloc[3], MIDDLE, (16, 24))
    )
    torch.testing.assert_close(videos[3], normalise(middle.permute(0, 3, 1, 2), *config.pixels))


def test_monitors_and_scores_take_three_crops_where_they_are_wanted(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("load_size=[32,64]", "eval_crop=three", "window.eval_windows=1", "batch_size=5")
    seen: list[torch.Tensor] = []

    def record(task: Task, videos: Any, seed: int) -> dict[str, dict[str, float]]:
        seen.extend(videos)
        return shuffled_ratios(task, seen, seed)

    monkeypatch.setattr(evaluation, "shuffled_ratios", record)
    task = make_task(config, tiny_catalogs)
    found = make_validator(task, tiny_catalogs, config, tmp_path).run(None)
    assert set(found.monitors["lidar"]) == {"space", "time", "clip"}  # the crops of the one window
    assert [video.shape for video in seen] == [(batch, 6, 3, 16, 24) for batch in (5, 5, 2)]  # one of each video
    assert set(nested(found.results)["knn"]) == {"space", "time", "clip"}
    test = final_test(task, task.encoder, make_plan(config, tiny_catalogs, tmp_path), CPU)
    results = test.record()
    assert results["test_videos"] == len(test.split.rows) == 12
    assert results["knn"]["clip"]["digit"]["top1"] == results["knn"]["clip"]["digit"]["random_init"]


def test_few_windows_give_no_lidar(tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path) -> None:
    config = tiny_config("window.eval_windows=1")
    catalogs = {
        split: replace(catalog, labels={"digit": catalog.labels["digit"]}) for split, catalog in tiny_catalogs.items()
    }
    task = make_task(config, tiny_catalogs)
    found = make_validator(task, catalogs, config, tmp_path).run(None)
    assert found.monitors["lidar"] == {}
    assert set(found.rank) == {"space", "time", "clip"}


@pytest.mark.parametrize("kind", ["supervised", "vicreg"])
def test_a_task_without_predictors_is_watched_too(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, kind: str
) -> None:
    config = tiny_config(f"task={kind}")
    task = make_task(config, tiny_catalogs)
    validator = make_validator(task, tiny_catalogs, config, tmp_path)
    found = validator.run(validator.run(None))
    assert {"lidar", "cka", "grad_norm"} == set(found.monitors)
    assert found.alarms == []


@pytest.mark.parametrize("kind", ["hierarchical", "supervised"])
def test_the_final_test_puts_floors_beside_every_score(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, kind: str
) -> None:
    config = tiny_config(f"task={kind}", root=tiny_catalogs["test"].root)

    task, untrained = make_task(config, tiny_catalogs, 1), make_task(config, tiny_catalogs, 2)
    plan = make_plan(config, tiny_catalogs, tmp_path)
    test = final_test(task, untrained.encoder, plan, CPU)
    results, again = test.record(), final_test(untrained, task.encoder, plan, CPU).record()
    assert results["test_videos"] == len(test.split.rows) == 12
    for name in ("knn", "linear_probe"):
        for level in config.levels:
            for labels in LABELS:
                score = results[name][level][labels]
                assert score["random_init"] == again[name][level][labels]["top1"]
                assert score["chance"] == chance(tiny_catalogs["test"].labels[labels])
                assert score["interval"] == confidence_interval(score["top1"], 12)
    for name in ("rank", "std"):
        for level in config.levels:
            assert results[name][level]["random_init"] == again[name][level]["final"]
    if kind == "hierarchical":
        assert "supervised" not in results
    else:
        (result,) = [result for result in test.results if result.evaluation == "supervised" and result.primary]
        assert (result.level, result.labels, result.random_init) == (None, "program", None)
        told = results["supervised"]
        assert told["labels"] == "program"
        assert (told["top1"], told["chance"]) == (result.value, pytest.approx(100 / 12))
        assert told["interval"] == confidence_interval(told["top1"], 12)
        assert told.keys() - {"top1", "chance", "interval", "labels"} == {"top5", "mean_class", "ece"}


@pytest.mark.parametrize("wanted", [True, False])
def test_the_final_test_puts_pixels_beside_every_score_where_they_are_wanted(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, wanted: bool
) -> None:
    config = tiny_config(f"pixel_floors={str(wanted).lower()}", "task=supervised", root=tiny_catalogs["test"].root)
    task = make_task(config, tiny_catalogs)
    test = final_test(task, task.encoder, make_plan(config, tiny_catalogs, tmp_path), CPU)
    record = test.record()
    if not wanted:
        assert record["pixel_floors"] == []
        assert all(result.pixels is None for result in test.results)
        return
    looks = {(r["evaluation"], r["level"], r["labels"]): r["value"] for r in record["pixel_floors"] if r["primary"]}
    assert len(looks) == 2 * 3 * 3  # evaluations, looks, label sets
    for name in ("knn", "linear_probe"):
        for labels in LABELS:
            best = max(value for key, value in looks.items() if (key[0], key[2]) == (name, labels))
            assert {record[name][level][labels]["pixels"] for level in config.levels} == {best}
    assert "pixels" not in record["supervised"]  # which learns no pixels
    assert sum(said[0] == "knn" for said in test.predictions) == 9  # the encoder's alone


@pytest.mark.parametrize(
    ("videos", "classes", "reason"),
    [
        (12, 3, None),
        (10, 2, None),
        (9, 3, "there are only 9 validation videos with a label"),
        (1, 1, "there is only 1 validation video with a label"),
        (12, 1, "all validation videos have the same label"),
    ],
)
def test_validation_chooses_where_its_scores_can_differ(videos: int, classes: int, reason: str | None) -> None:
    labels = LabelSet("kind", ["a", "b", "c"], np.arange(videos)[:, None] % classes)
    assert too_few_labels([labels, labels]) == reason


def test_videos_without_a_label_choose_nothing() -> None:
    labels = LabelSet("kind", ["a", "b"], np.arange(12)[:, None] % 2)
    labels.values[3:] = UNKNOWN
    assert too_few_labels([labels]) == "there are only 3 validation videos with a label"


def test_no_label_at_all_chooses_nothing() -> None:
    labels = LabelSet("kind", ["a"], np.full((12, 1), UNKNOWN))
    assert too_few_labels([labels]) == too_few_labels([]) == "no validation video has a label"


def test_one_level_with_several_classes_can_choose() -> None:
    same, several = (LabelSet("kind", ["a", "b"], np.arange(12)[:, None] % classes) for classes in (1, 2))
    assert too_few_labels([same, several]) is None


# ------------------------------------------------------------------------------------------ several evaluations


TWO = (
    "evaluations={near: {protocol: knn, when: [validation, test], labels: null, settings: {k: 1, bank: 10}}}",
    "evaluations={linear_probe: null}",
)


def test_two_evaluations_by_one_protocol_differ_in_their_settings_alone(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    config = tiny_config(*TWO, root=tiny_catalogs["test"].root)
    task = make_task(config, tiny_catalogs)
    plan = make_plan(config, tiny_catalogs, tmp_path)
    test = final_test(task, task.encoder, plan, CPU)
    assert list(test.record())[:2] == ["knn", "near"]
    own = {"space": "digit", "time": "motion", "clip": "program"}
    near = [result for result in test.results if result.evaluation == "near"]
    assert {result.level: result.labels for result in near} == own
    train, videos = (
        encode_split(task.encoder, tiny_catalogs[split], config, CPU, bad_list(tmp_path)) for split in ("train", "test")
    )
    settings = knn_settings(config.evaluations)
    assert settings.k == 5
    for k, evaluation_name in ((5, "knn"), (1, "near")):
        labels = {level: [name] for level, name in own.items()}
        expected = values(knn_scores(train, videos, labels, settings.model_copy(update={"k": k})))
        for level, name in own.items():
            assert test.record()[evaluation_name][level][name]["top1"] == expected[level][name]
    assert plan.titles == {"knn": "kNN", "supervised": "supervised", "near": "kNN (near)"}


def test_every_split_is_encoded_once_for_all_evaluations(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import protocols.encoded

    config = tiny_config(*TWO, "evaluations.near.settings.bank=1200", root=tiny_catalogs["test"].root)
    task = make_task(config, tiny_catalogs)
    seen: list[tuple[str, int]] = []

    def record(encoder: Any, catalog: Catalog, *more: Any) -> Any:
        seen.append((catalog.split, len(catalog.table)))
        return encode_split(encoder, catalog, *more)

    monkeypatch.setattr(protocols.encoded, "encode_split", record)
    make_validator(task, tiny_catalogs, config, tmp_path).run(None)
    assert seen == [("train", 24), ("val", 12)]


def test_data_without_labels_is_watched_and_not_scored(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config(root=tiny_catalogs["test"].root)
    catalogs = {split: replace(catalog, labels={}) for split, catalog in tiny_catalogs.items()}
    plan = make_plan(config, catalogs, tmp_path)
    assert plan.skipped == dict.fromkeys(("knn", "linear_probe", "supervised"), "moving_digits has no labels")
    assert "evaluations.knn is skipped: moving_digits has no labels" in caplog.messages
    task = make_task(config, tiny_catalogs)
    validator = Validator(task, plan, config, CPU)
    found = validator.run(validator.run(None))
    assert found.results == []
    assert set(found.rank) == set(LEVELS)
    assert choosing_score(found.results, config) == 0.0
    assert why_no_choice(plan, config) == "moving_digits has no labels"
    test = final_test(task, task.encoder, plan, CPU)
    assert (test.results, test.record()["test_videos"]) == ([], 12)


def test_what_chooses_is_the_mean_of_every_level_on_its_own_labels(tiny_config: MakeConfig) -> None:
    def result(evaluation: str, level: str, value: float, own: bool) -> Result:
        return Result(evaluation, "digits", "val", level, "x", "top1", value, own=own)

    results = [result("knn", "space", 10.0, True), result("knn", "space", 99.0, False)]
    results += [result("knn", "time", 30.0, True), result("near", "time", 50.0, False)]
    assert choosing_score(results, tiny_config()) == 20.0
    assert choosing_score(results, tiny_config(*TWO, "choose_by=near")) == 50.0
    assert choosing_score(results, tiny_config("choose_by=null")) == 0.0


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("choose_by=null", "choose_by is null"),
        ("evaluations.knn=null", "evaluations.knn is null"),
        ("choose_by=knn", None),
    ],
)
def test_without_the_evaluation_that_chooses_the_last_checkpoint_is_taken(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, override: str, reason: str | None
) -> None:
    config = tiny_config(override, root=tiny_catalogs["test"].root)
    assert why_no_choice(make_plan(config, tiny_catalogs, tmp_path), config) == reason


def test_a_validation_record_of_an_older_version_is_a_floor(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    config = tiny_config(root=tiny_catalogs["test"].root)
    task = make_task(config, tiny_catalogs)
    validator = make_validator(task, tiny_catalogs, config, tmp_path)
    at_init = validator.run(None)
    assert Validation.restored(at_init.record(), {}) == at_init
    older = {key: value for key, value in at_init.record().items() if key != "results"}
    restored = Validation.restored(older, {"space": "digit", "time": "motion", "clip": "program"})
    found = [validator.run(floor) for floor in (at_init, restored)]
    assert primary(found[0].results) == primary(found[1].results)  # there were no other ones
    assert found[0].measured() == found[1].measured()
    assert isinstance(final_test(task, task.encoder, make_plan(config, tiny_catalogs, tmp_path), CPU), FinalTest)
