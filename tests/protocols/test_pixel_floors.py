"""Pixels in the place of features: what the looks are, what they cost, and what a run makes of their scores."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from config.schema import Config
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols import encoding, pixel_floors, window_memory
from protocols.evaluation import EvaluationData, Plan, plan_evaluations
from protocols.pixel_floors import PixelEncoder, averaged_side, pixel_encoder, principal_axes
from runs.results import Result, with_pixels

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
LOOKS = ["mean frame", "frames in order", "frame differences"]
KNN_ALONE = ("evaluations.linear_probe=null", "evaluations.supervised=null")


def plan_of(config: Config, catalogs: dict[str, Catalog], folder: Path) -> Plan:
    bad_videos = BadVideos(folder / "bad_videos.csv", 48, 0.5, "digits")
    return plan_evaluations(config, EvaluationData.of(catalogs, config, bad_videos), folder / "bad_videos.csv")


def by_look(results: list[Result]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for result in results:
        if result.primary:
            found.setdefault(str(result.level), {})[str(result.labels)] = result.value
    return found


# -------------------------------------------------------------------------------------------------------- the looks


def test_looks_are_of_the_principal_components_of_every_frame() -> None:
    video = torch.rand(2, 5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    axes = torch.linalg.qr(torch.rand(3 * 2 * 3, 4))[0]
    mean = torch.rand(3 * 2 * 3)
    looks = PixelEncoder(2, mean, axes)(video)
    assert list(looks) == LOOKS
    small = video.unflatten(3, (2, 2)).unflatten(5, (3, 2)).mean(dim=(4, 6))  # squares of two pixels
    components = (small.flatten(2) - mean) @ axes
    torch.testing.assert_close(looks["mean frame"], components.mean(dim=1, keepdim=True))
    torch.testing.assert_close(looks["frames in order"], components.reshape(2, 1, 20))
    differences = components[:, 1:] - components[:, :-1]
    torch.testing.assert_close(looks["frame differences"], differences.reshape(2, 1, 16))
    assert list(PixelEncoder(2, mean, axes)(video[:, :1])) == ["mean frame"]


def test_mixed_precision_does_not_make_pixels_worse() -> None:
    video = torch.rand(2, 5, 3, 4, 6)
    encoder = PixelEncoder(1, torch.rand(72), torch.rand(72, 8))
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(video)
    for look, exact in encoder(video).items():
        assert torch.equal(rough[look], exact)


def test_axes_are_those_of_scikit_learns_exact_pca_and_fewer_where_frames_are_few() -> None:
    generator = np.random.default_rng(5)
    frames = (generator.normal(size=(300, 20)) @ generator.normal(size=(20, 400))).astype(np.float32)
    mean, axes = principal_axes(frames)
    assert axes.shape == (400, 64)
    exact = PCA(20, svd_solver="full").fit(frames)
    found = (torch.from_numpy(frames) - mean) @ axes
    assert float(found.var(dim=0, unbiased=True).sum()) == pytest.approx(exact.explained_variance_.sum(), rel=1e-3)
    torch.testing.assert_close(
        torch.pdist(found[:50]), torch.pdist(torch.from_numpy(frames[:50])), rtol=1e-3, atol=1e-2
    )
    assert principal_axes(frames[:7])[1].shape == (400, 7)
    assert principal_axes(frames[:, :9])[1].shape == (9, 9)


@pytest.mark.parametrize(("size", "side"), [((36, 36), 1), ((36, 37), 1), ((37, 37), 2), ((224, 224), 7)])
def test_large_frames_are_averaged_until_they_are_small(size: tuple[int, int], side: int) -> None:
    assert averaged_side(size) == side


# ------------------------------------------------------------------------------------------------------- the scores


def test_pixels_know_everything_of_copies(tiny_config: MakeConfig, tiny_dataset: Path, tmp_path: Path) -> None:
    """Where training videos are copies of those that are scored, the nearest neighbour of every look is the copy."""
    copy = tmp_path / "copies"
    for split in ("train", "val", "test"):
        shutil.copytree(tiny_dataset / "train", copy / split)
        rows = (tiny_dataset / "train.csv").read_text()
        (copy / f"{split}.csv").write_text(rows.replace("train/", f"{split}/"))
    labels = "{space: digit, time: motion, clip: program}"
    config = tiny_config(f'dataset={{name: catalog, root: "{copy}", labels: {labels}}}', "knn_k=1", *KNN_ALONE)
    plan = plan_of(config, open_catalogs(config, config.groups, tmp_path / "bad.csv"), tmp_path)
    for split in ("val", "test"):
        found = by_look(pixel_floors.pixel_floors(plan, split, CPU))
        assert list(found) == LOOKS
        assert {value for by_label in found.values() for value in by_label.values()} == {100.0}


def test_every_evaluation_scores_pixels_with_its_own_settings_and_labels(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    near = "evaluations.near={protocol: knn, labels: null, levels: [space, clip], settings: {k: 1}}"
    order = "evaluations.order={protocol: temporal_order}"
    config = tiny_config(near, order, root=tiny_catalogs["test"].root)
    plan = plan_of(config, tiny_catalogs, tmp_path)
    found = [result for result in pixel_floors.pixel_floors(plan, "test", CPU) if result.primary]
    assert {(r.evaluation, r.labels) for r in found} == {
        *((name, labels) for name in ("knn", "linear_probe") for labels in ("digit", "motion", "program")),
        *(("near", labels) for labels in ("digit", "program")),  # what its levels are judged by
    }
    assert [r.level for r in found if (r.evaluation, r.labels) == ("near", "digit")] == LOOKS
    # The scores are the protocol's own, of the looks in the place of levels.
    seen = plan.own.seen_by(pixel_encoder(plan.own, CPU), CPU)
    for name in ("knn", "near"):
        evaluation = plan.find(name)
        assert evaluation is not None
        direct = replace(evaluation, labels={look: ["program"] for look in LOOKS}).results("test", seen, None)
        expected = {result.level: result.value for result in direct if result.primary}
        assert {r.level: r.value for r in found if (r.evaluation, r.labels) == (name, "program")} == expected


def test_no_window_is_read_twice_where_memory_holds_them_and_the_scores_are_the_same_where_it_does_not(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def read(catalog: Catalog, *more: Any, **named: Any) -> Any:
        reads.append(len(catalog.table))
        return encoding.evaluation_batches(catalog, *more, **named)

    for module in (window_memory, pixel_floors):
        monkeypatch.setattr(module, "evaluation_batches", read)
    monkeypatch.setattr(pixel_floors, "FIT_VIDEOS", 7)
    results = []
    for megabytes, expected in ((10, []), (0, [7, 12, 24])):
        config = tiny_config(f"eval_memory_mb={megabytes}", *KNN_ALONE, root=tiny_catalogs["test"].root)
        plan = plan_of(config, tiny_catalogs, tmp_path)
        own = plan.own.seen_by(torch.nn.Identity(), CPU)
        for split in ("train", "test"):  # as an encoder has been scored before
            list(own.windows(split))
        reads.clear()
        results.append(by_look(pixel_floors.pixel_floors(plan, "test", CPU)))
        assert sorted(reads) == expected
    assert results[0] == results[1]


def test_of_very_many_videos_some_are_drawn_and_that_is_said(
    tiny_config: MakeConfig,
    tiny_catalogs: dict[str, Catalog],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pixel_floors, "MAX_VIDEOS", 12)
    config = tiny_config("dataset.root=elsewhere", *KNN_ALONE, root=tiny_catalogs["test"].root)
    plan = plan_of(config, tiny_catalogs, tmp_path)
    with caplog.at_level(logging.INFO):
        found = pixel_floors.pixel_floors(plan, "test", CPU)
    assert "pixel floors look at 12 of 24 train videos of elsewhere, drawn at random" in caplog.text
    assert "of 12 test videos" not in caplog.text
    assert found == pixel_floors.pixel_floors(plan, "test", CPU)
    assert {len(catalog.table) for catalog in pixel_floors._limited(plan.own).catalogs.values()} == {12}


def test_without_labels_nothing_is_looked_at(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    unlabelled = {split: replace(catalog, labels={}, judged_by={}) for split, catalog in tiny_catalogs.items()}
    plan = plan_of(tiny_config(root=tiny_catalogs["test"].root), unlabelled, tmp_path)
    assert pixel_floors.pixel_floors(plan, "test", CPU) == []


# ------------------------------------------------------------------------------------------------ beside the results


def result(level: str, value: float, metric: str = "top1", **more: Any) -> Result:
    return Result("knn", "digits", "test", level, "motion", metric, value, **more)


def test_the_best_look_stands_beside_every_level() -> None:
    looks = [result("mean frame", 30.0), result("frame differences", 70.0), result("mean frame", 90.0, "top5")]
    looks.append(result("mean frame", 80.0, "ece", primary=False))
    found = with_pixels([result("time", 50.0), result("clip", 60.0), result("clip", 5.0, "ece", primary=False)], looks)
    assert [each.pixels for each in found] == [70.0, 70.0, None]
    assert with_pixels(found[:1], [])[0].pixels is None


@pytest.mark.parametrize(
    ("pixels", "verdict", "learned"), [(None, "above", "above"), (70.0, "below", "above"), (58.0, "within", "above")]
)
def test_pixels_are_a_floor_of_the_verdict_and_not_of_what_was_learned(
    pixels: float | None, verdict: str, learned: str
) -> None:
    found = result("clip", 60.0, random_init=20.0, chance=25.0, interval=3.0, pixels=pixels)
    assert (found.verdict, found.learned) == (verdict, learned)
    assert found.floor == (pixels or 25.0)
