from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

import eval as evaluation
from config.schema import Config
from data_utils.bad_videos import BadVideos
from data_utils.catalog import Catalog
from data_utils.formats.video import VideoReader
from data_utils.labels import UNKNOWN, LabelSet
from data_utils.normalise import normalise
from eval import (
    EncodedSplit,
    FloatArray,
    IntArray,
    Validator,
    chance,
    classifier_score,
    confidence_interval,
    encode_split,
    final_test,
    knn_predict,
    knn_scores,
    probe_scores,
    why_no_choice,
    with_floors,
)
from monitors import Singles, effective_rank, gradient_norms, lidar, linear_cka, shuffled_ratios, spread
from runs.seeds import seed_everything
from tasks import build_task
from tasks.task import Task

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
MIDDLE = np.arange(5, 11)  # the middle window of 6 of 16 frames
LABELS = {"digit": 10, "motion": 4, "program": 12}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clusters(labels: IntArray, dim: int = 8, noise: float = 1.0, seed: int = 0, centres: int = 0) -> FloatArray:
    """A cloud per class; `centres` chooses where the clouds are."""
    centre = rng(centres).normal(size=(int(labels.max()) + 1, dim))
    return (3 * centre[labels] + noise * rng(seed + 1).normal(size=(*labels.shape, dim))).astype(np.float32)


def encoded(features: FloatArray, labels: LabelSet) -> EncodedSplit:
    """A split of one level and one label set; `features` [N, K, D]."""
    by_parts = {1: {"space": features.mean(axis=1, keepdims=True)}, features.shape[1]: {"space": features}}
    return EncodedSplit(by_parts, Singles(1, seed=0), {labels.name: labels}, np.arange(len(features)))


def label_set(values: Any, classes: int = 4) -> LabelSet:
    return LabelSet("motion", [str(number) for number in range(classes)], np.asarray(values, np.int64))


# ------------------------------------------------------------------------------------------------------------ kNN


def naive_knn(
    bank: FloatArray, labels: IntArray, queries: FloatArray, k: int, temperature: float
) -> tuple[IntArray, list[float]]:
    """The votes by a loop in float64, and how much ahead of the second class the first one is."""
    centre = bank.mean(axis=0, dtype=np.float64)
    predicted, margins = [], []
    for query in queries.astype(np.float64) - centre:
        cosines = []
        for known in bank.astype(np.float64) - centre:
            cosines.append(known @ query / np.linalg.norm(known) / np.linalg.norm(query))
        votes = np.zeros(labels.max() + 1)
        for neighbour in np.argsort(cosines)[::-1][:k]:
            votes[labels[neighbour]] += math.exp(cosines[neighbour] / temperature)
        predicted.append(int(votes.argmax()))
        first, second = np.sort(votes)[::-1][:2]
        margins.append((first - second) / first)
    return np.array(predicted), margins


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("k", [1, 7, 500])
def test_knn_equals_a_loop(k: int, temperature: float) -> None:
    labels = rng().integers(4, size=60)
    bank, queries = clusters(labels, noise=4), clusters(rng(1).integers(4, size=50), noise=4, seed=5)
    expected, margins = naive_knn(bank, labels, queries, k, temperature)
    clear = np.array(margins) > 1e-4  # elsewhere float32 may see a tie the other way round
    assert clear.mean() > 0.9
    found = knn_predict(bank, labels, queries, k, temperature)
    assert found.shape == (50,)
    np.testing.assert_array_equal(found[clear], expected[clear])
    assert len(set(expected.tolist())) > 1


def test_knn_equals_scikit_learn() -> None:
    labels = rng().integers(4, size=200)
    bank, queries = clusters(labels, noise=4), clusters(rng(1).integers(4, size=100), noise=4, seed=5)
    centre = bank.mean(axis=0)
    other = KNeighborsClassifier(9, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07))
    other.fit(bank - centre, labels)
    agree = knn_predict(bank, labels, queries, 9, 0.07) == other.predict(queries - centre)
    assert agree.mean() >= 0.99


def test_more_neighbours_than_videos_are_all_videos() -> None:
    labels = np.array([0, 0, 1])
    bank, queries = clusters(labels), clusters(np.array([0, 1, 1, 0]), seed=3)
    np.testing.assert_array_equal(
        knn_predict(bank, labels, queries, 20, 0.07), knn_predict(bank, labels, queries, 3, 0.07)
    )


def test_many_queries_are_answered_like_few() -> None:
    labels = rng().integers(4, size=40)
    bank, queries = clusters(labels, noise=4), clusters(rng(1).integers(4, size=2100), noise=4, seed=5)
    together = knn_predict(bank, labels, queries, 5, 0.07)
    alone = np.concatenate([knn_predict(bank, labels, part, 5, 0.07) for part in np.array_split(queries, 7)])
    np.testing.assert_array_equal(together, alone)


def test_what_all_vectors_share_changes_nothing() -> None:
    labels = rng().integers(4, size=60)
    bank, queries = (np.round(clusters(labels, noise=4, seed=seed), 0) for seed in (0, 5))
    offset = 256 * rng(9).integers(1, 4, size=8).astype(np.float32)  # exact in float32
    shifted = knn_predict(bank + offset, labels, queries + offset, 5, 0.07)
    np.testing.assert_array_equal(shifted, knn_predict(bank, labels, queries, 5, 0.07))
    # Without centring all cosines would be nearly 1.
    assert (shifted == labels).mean() > 0.5


def test_scale_changes_nothing_and_a_tiny_temperature_is_no_overflow() -> None:
    labels = rng().integers(4, size=60)
    bank, queries = clusters(labels, noise=4), clusters(labels, noise=4, seed=5)
    expected = knn_predict(bank, labels, queries, 5, 0.07)
    np.testing.assert_array_equal(knn_predict(8 * bank, labels, 8 * queries, 5, 0.07), expected)
    nearest = knn_predict(bank, labels, queries, 1, 1.0)
    np.testing.assert_array_equal(knn_predict(bank, labels, queries, 5, 1e-6), nearest)


def test_a_bank_of_equal_vectors_gives_an_answer() -> None:
    bank = np.ones((6, 3), np.float32)
    found = knn_predict(bank, np.array([2, 2, 2, 2, 1, 0]), rng().normal(size=(4, 3)).astype(np.float32), 6, 0.07)
    np.testing.assert_array_equal(found, [2, 2, 2, 2])


def test_scores_of_several_parts_are_the_mean_of_each_part() -> None:
    known, asked = rng().integers(4, size=(80, 2)), rng(1).integers(4, size=(40, 2))
    bank = encoded(clusters(known, noise=0.3), label_set(known))
    wrong = np.stack([asked[:, 0], (asked[:, 1] + 1) % 4], axis=1)  # the second part shows another class
    queries = encoded(clusters(wrong, noise=0.3, seed=5), label_set(asked))
    for scores in (knn_scores(bank, queries, 5, 0.07), probe_scores(bank, queries)):
        assert scores == {"space": {"motion": 50.0}}
    queries = encoded(clusters(asked, noise=0.3, seed=5), label_set(asked))
    assert knn_scores(bank, queries, 5, 0.07) == {"space": {"motion": 100.0}}


def test_videos_without_a_label_are_not_scored() -> None:
    known, asked = rng().integers(4, size=(80, 1)), rng(1).integers(4, size=(40, 1))
    bank, queries = clusters(known, noise=0.3), clusters(asked, noise=0.3, seed=5)
    unknown_bank, unknown_queries = np.arange(80) % 3 == 0, np.arange(40) % 2 == 0
    bank[unknown_bank] = bank[~unknown_bank][0] + 100  # would spoil the centre and the neighbours
    split = encoded(bank, label_set(np.where(unknown_bank[:, None], UNKNOWN, known)))
    asking = encoded(queries, label_set(np.where(unknown_queries[:, None], UNKNOWN, asked)))
    for scores in (knn_scores(split, asking, 5, 0.07), probe_scores(split, asking)):
        assert scores == {"space": {"motion": 100.0}}
    assert chance(label_set([[0], [UNKNOWN], [0], [1], [UNKNOWN], [2]])) == 50.0
    interval = with_floors({"space": {"motion": 50.0}}, {"space": {"motion": 50.0}}, asking)["space"]["motion"]
    assert interval["interval"] == confidence_interval(50.0, 20)
    nobody = encoded(queries, label_set(np.full((40, 1), UNKNOWN)))
    assert knn_scores(split, nobody, 5, 0.07) == probe_scores(nobody, asking) == {"space": {}}


# ---------------------------------------------------------------------------------------------------- the probe


def test_a_probe_finds_separable_classes_and_nothing_in_noise() -> None:
    known, asked = rng().integers(4, size=(300, 1)), rng(1).integers(4, size=(200, 1))
    train = encoded(clusters(known, noise=0.2), label_set(known))
    assert probe_scores(train, encoded(clusters(asked, noise=0.2, seed=5), label_set(asked))) == {
        "space": {"motion": 100.0}
    }
    noise = encoded(rng(7).normal(size=(200, 1, 8)).astype(np.float32), label_set(asked))
    score = probe_scores(encoded(rng(8).normal(size=(300, 1, 8)).astype(np.float32), label_set(known)), noise)
    assert 12 < score["space"]["motion"] < 38


def test_a_probe_of_a_single_class_names_it() -> None:
    train = encoded(rng().normal(size=(6, 1, 3)).astype(np.float32), label_set([[2]] * 6))
    test = encoded(rng(1).normal(size=(4, 1, 3)).astype(np.float32), label_set([[2], [1], [2], [2]]))
    assert probe_scores(train, test) == {"space": {"motion": 75.0}}


# ------------------------------------------------------------------------------------------- chance and intervals


def test_chance_is_the_share_of_the_commonest_class_of_each_part() -> None:
    assert chance(label_set([[0], [2], [2], [1]])) == 50.0
    assert chance(label_set([[0, 1], [0, 2], [0, 3], [1, 0]])) == pytest.approx((75 + 25) / 2)


@pytest.mark.parametrize(("right", "samples"), [(0, 10), (3, 10), (360, 720), (719, 720), (40, 480)])
def test_the_interval_is_wilsons(right: int, samples: int) -> None:
    low, high = stats.binomtest(right, samples).proportion_ci(0.95, method="wilson")
    half = confidence_interval(100 * right / samples, samples)
    assert half == pytest.approx(100 * (high - low) / 2, rel=1e-4)


def test_nothing_is_known_of_no_samples() -> None:
    assert confidence_interval(0.0, 0) == 100.0


# ------------------------------------------------------------------------------------- validation and final test


def bad_list(folder: Path, max_share: float = 0.5) -> BadVideos:
    return BadVideos(folder / "bad_videos.csv", total=48, max_share=max_share, dataset="videos")


def make_task(config: Config, catalogs: dict[str, Catalog], seed: int = 0) -> Task:
    seed_everything(seed)
    return build_task(config, catalogs["train"])


def test_validation_of_the_untrained_encoder_is_the_floor_of_the_next(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    config = tiny_config("knn_bank=10")
    task = make_task(config, tiny_catalogs)
    validator = Validator(task, tiny_catalogs, config, CPU, bad_list(tmp_path))
    at_init = validator.run(None)
    assert list(at_init.knn) == ["space", "time", "clip"]
    bank = encode_split(task.encoder, tiny_catalogs["train"].sample(10, config.seed), config, CPU, bad_list(tmp_path))
    queries = encode_split(task.encoder, tiny_catalogs["val"], config, CPU, bad_list(tmp_path))
    assert len(bank.rows) == 10
    expected = knn_scores(bank, queries, config.knn_k, config.knn_temperature)
    for level, by_labels in at_init.knn.items():
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
    for level, by_labels in later.knn.items():
        for name, score in by_labels.items():
            assert score["random_init"] == at_init.knn[level][name]["top1"]
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
    validator = Validator(task, tiny_catalogs, config, CPU, bad_list(tmp_path))
    at_init = validator.run(None)
    steps = [{"kind": "step", "grad_norm": {"space": 3.0}}]
    later = validator.run(at_init, steps)
    split = encode_split(task.encoder, tiny_catalogs["val"], config, CPU, bad_list(tmp_path))
    windows, rows = split.singles.windows()
    video = {level: features[:, 0] for level, features in split.features[1].items()}
    assert rows.tolist() == [row for row in range(12) for _ in range(2)]
    assert later.rank == {level: effective_rank(vectors) for level, vectors in split.singles.units().items()}
    assert later.std == {level: spread(vectors) for level, vectors in split.singles.units().items()}
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
    Validator(task, tiny_catalogs, config, CPU, bad_list(tmp_path)).run(None)
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
    found = Validator(task, tiny_catalogs, config, CPU, bad_list(tmp_path)).run(None)
    assert set(found.monitors["lidar"]) == {"space", "time", "clip"}  # the crops of the one window
    assert [video.shape for video in seen] == [(batch, 6, 3, 16, 24) for batch in (5, 5, 2)]  # one of each video
    assert set(found.knn) == {"space", "time", "clip"}
    results, test = final_test(task, task.encoder, tiny_catalogs, "digit", config, CPU, bad_list(tmp_path))
    assert results["test_videos"] == len(test.rows) == 12
    assert results["knn"]["clip"]["digit"]["top1"] == results["knn"]["clip"]["digit"]["random_init"]


def test_few_windows_give_no_lidar(tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path) -> None:
    config = tiny_config("window.eval_windows=1")
    catalogs = {
        split: replace(catalog, labels={"digit": catalog.labels["digit"]}) for split, catalog in tiny_catalogs.items()
    }
    task = make_task(config, tiny_catalogs)
    found = Validator(task, catalogs, config, CPU, bad_list(tmp_path)).run(None)
    assert found.monitors["lidar"] == {}
    assert set(found.rank) == {"space", "time", "clip"}


@pytest.mark.parametrize("kind", ["supervised", "vicreg"])
def test_a_task_without_predictors_is_watched_too(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, kind: str
) -> None:
    config = tiny_config(f"task={kind}")
    task = make_task(config, tiny_catalogs)
    validator = Validator(task, tiny_catalogs, config, CPU, bad_list(tmp_path))
    found = validator.run(validator.run(None))
    assert {"lidar", "cka", "grad_norm"} == set(found.monitors)
    assert found.alarms == []


def test_a_classifier_is_scored_on_the_last_level() -> None:
    values = rng().integers(4, size=(50, 1))
    split = encoded(np.eye(4, dtype=np.float32)[values], label_set(values))
    classifier = nn.Linear(4, 4)
    with torch.no_grad():
        classifier.weight.copy_(torch.eye(4).roll(1, dims=0))  # says class + 1
        classifier.bias.zero_()
    assert classifier_score(classifier, split, "motion", CPU) == 0
    with torch.no_grad():
        classifier.weight.copy_(torch.eye(4))
    assert classifier_score(classifier, split, "motion", CPU) == 100


@pytest.mark.parametrize("kind", ["hierarchical", "supervised"])
def test_the_final_test_puts_floors_beside_every_score(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, kind: str
) -> None:
    config = tiny_config(f"task={kind}", root=tiny_catalogs["test"].root)

    task, untrained = make_task(config, tiny_catalogs, 1), make_task(config, tiny_catalogs, 2)
    results, split = final_test(task, untrained.encoder, tiny_catalogs, "program", config, CPU, bad_list(tmp_path))
    again, _ = final_test(untrained, task.encoder, tiny_catalogs, "program", config, CPU, bad_list(tmp_path))
    assert results["test_videos"] == len(split.rows) == 12
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
        assert task.classifier is not None
        assert results["supervised"] == {
            "top1": classifier_score(task.classifier, split, "program", CPU),
            "chance": pytest.approx(100 / 12),
            "interval": confidence_interval(results["supervised"]["top1"], 12),
            "labels": "program",
        }


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
    assert why_no_choice({"space": labels, "time": labels}) == reason


def test_videos_without_a_label_choose_nothing() -> None:
    labels = LabelSet("kind", ["a", "b"], np.arange(12)[:, None] % 2)
    labels.values[3:] = UNKNOWN
    assert why_no_choice({"space": labels}) == "there are only 3 validation videos with a label"


def test_one_level_with_several_classes_can_choose() -> None:
    same, several = (LabelSet("kind", ["a", "b"], np.arange(12)[:, None] % classes) for classes in (1, 2))
    assert why_no_choice({"space": same, "time": several}) is None
