"""Errors by place have the mean that the monitors have, and stand where what is predicted stands."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from architecture.stem import patchify, unpatchify
from losses import patch_target, patches_of_target
from tasks.vicreg import VICRegTask
from tests.tasks.hierarchical_cases import (
    SETTINGS,
    MakeConfig,
    make_batch,
    make_config,
    make_task,
    make_video,
    objective_of,
)

# Every hierarchy, causal levels, both down targets, a teacher, positions anywhere, a loss that leaves the scale free.
CASES = [SETTINGS[number] for number in (0, 2, 7, 8, 9, 11)]
CASES += [("b3", (), ("targets=ema", "use_temporal_prediction=false")), ("3", (), ("hierarchical.loss={name: cs}",))]


@pytest.mark.parametrize(("hierarchy", "causal", "options"), CASES)
def test_the_mean_over_the_places_is_the_error_that_the_monitors_have(
    tiny_config: MakeConfig, hierarchy: str, causal: tuple[str, ...], options: tuple[str, ...]
) -> None:
    task = make_task(make_config(tiny_config, hierarchy, causal, options, "down_targets=all"))
    video = make_video(4, task.config.window.length)
    maps = task.prediction_maps(video)
    errors = task.prediction_errors(video, torch.Generator().manual_seed(0))
    assert task.training
    assert {level: {found.direction for found in of_level} for level, of_level in maps.items()} == {
        level: set(of_level) for level, of_level in errors.items()
    }
    for level, of_level in maps.items():
        for found in of_level:
            assert found.own_N.isfinite().all()
            assert found.at_N.tolist() == sorted(set(found.at_N.tolist()))
            if found.direction != "side":  # which draws its distances
                mean = float((found.own_N * found.count_N).sum() / found.count_N.sum())
                assert mean == pytest.approx(errors[level][found.direction][0], rel=1e-4)


def test_side_is_asked_for_every_distance_and_by_place_for_patches(tiny_config: MakeConfig) -> None:
    task = make_task(make_config(tiny_config, "b3", (), ()))
    maps = task.prediction_maps(make_video(4, task.config.window.length))
    found = {(level, each.direction, each.over): each for level, of_level in maps.items() for each in of_level}
    times = task.config.geometry.times("backbone")
    expected = [distance for distance in range(1 - times, times) if distance]
    assert found["backbone", "side", "distance"].at_N.tolist() == expected
    assert len(found["backbone", "side", "place"].own_N) == task.config.geometry.patches
    assert len(found["space", "down", "place"].own_N) == task.config.geometry.patches
    assert len(found["time", "down", "token"].own_N) == task.config.geometry.frames_per_clip


def test_a_distance_is_that_of_what_is_predicted(tiny_config: MakeConfig) -> None:
    """A predictor that knows the unit two frames later is right at that distance alone."""
    task = make_task(make_config(tiny_config, "2", (), ("target_norm=none",))).eval()
    objective = objective_of(task, "space")
    video = make_video(4, task.config.window.length)
    units_BUD = task.encoder(video)["space"]

    class TwoLater(torch.nn.Module):
        def forward(self, asked_BUD: Tensor, places: Tensor) -> Tensor:
            start = next(at for at in range(6) if torch.equal(units_BUD[:, at], asked_BUD[:, 0]))
            later_BUD = torch.nn.functional.pad(units_BUD[:, 2:], (0, 0, 0, 2))
            return later_BUD[:, start : start + asked_BUD.shape[1]]

    objective.predictors["side"] = TwoLater()
    side = next(each for each in task.prediction_maps(video)["space"] if each.direction == "side")
    errors = dict(zip(side.at_N.tolist(), side.own_N.tolist(), strict=True))
    assert errors.pop(2) < 1e-10
    assert min(errors.values()) > 1e-6


def test_units_meet_themselves_in_the_other_view(tiny_config: MakeConfig) -> None:
    views = "views={backbone: [none], space: [none, strong], time: [none], clip: [strong, strong]}"
    task = make_task(make_config(tiny_config, "3", (), (views,)))
    batch = make_batch(task)
    maps = task.prediction_maps(make_video(3), batch)
    has = {level: any(each.direction == "other view" for each in of_level) for level, of_level in maps.items()}
    assert has == {"space": True, "time": False, "clip": True}
    other = next(each for each in maps["space"] if each.direction == "other view")
    assert other.at_N.tolist() == list(range(6))
    # Two looks that are the same picture are no distance from each other.
    same = type(batch)((batch.videos[0],) * len(batch.videos), batch.frames, batch.rows_B)
    other = next(each for each in task.prediction_maps(make_video(3), same)["clip"] if each.direction == "other view")
    assert float(other.own_N.max()) < 1e-8
    assert float(other.other_N.min()) > 1e-3


def test_what_predicts_nothing_has_no_maps(tiny_config: MakeConfig) -> None:
    task = make_task(make_config(tiny_config, "3", (), ()))
    assert task.prediction_maps(make_video(1)) == {}
    siamese = VICRegTask(tiny_config("task=vicreg"))
    assert siamese.prediction_maps(make_video()) == {}
    assert siamese.predicted_pixels(make_video()) is None
    stem = make_task(make_config(tiny_config, "3", (), ("down_target=stem",)))
    assert stem.predicted_pixels(make_video()) is None


def test_patches_are_put_together_again_and_their_normalisation_is_undone() -> None:
    video = make_video()
    patches = patchify(video, 8)
    assert torch.equal(unpatchify(patches, 2, 8), video)
    assert torch.allclose(patches_of_target(patch_target(patches), patches), patches, atol=1e-5)


class Knows(torch.nn.Module):
    """Predicts the true patches, times a scale."""

    def __init__(self, video_BTCHW: Tensor, causal: bool, scale: float = 1.0) -> None:
        super().__init__()
        self.target_BTPD, self.causal = scale * patch_target(patchify(video_BTCHW, 8)), causal

    def forward(self, states: Tensor, *places: Tensor) -> Tensor:
        return self.target_BTPD.flatten(1, 2)[:, 1:] if self.causal else self.target_BTPD[:, :, places[0]]


@pytest.mark.parametrize("causal", [False, True])
def test_pixels_that_are_predicted_exactly_are_the_true_ones(tiny_config: MakeConfig, causal: bool) -> None:
    task = make_task(make_config(tiny_config, "3", ("space",) if causal else (), ()))
    video = make_video()
    objective_of(task, "space").predictors["down"] = Knows(video, causal)
    predicted = task.predicted_pixels(video)
    assert predicted is not None
    unknown = predicted.isnan()
    assert bool(unknown[:, 0, :, :8, :8].all()) == causal  # nothing comes before the first patch
    assert int(unknown.sum()) == (3 * 3 * 64 if causal else 0)
    assert torch.allclose(predicted[~unknown], video[~unknown], atol=1e-4)


def test_a_loss_that_leaves_the_scale_free_leaves_it_free_in_the_picture(tiny_config: MakeConfig) -> None:
    task = make_task(make_config(tiny_config, "3", (), ("hierarchical.loss={name: cs}",)))
    video, seen = make_video(), []
    for scale in (1.0, 7.0):
        objective_of(task, "space").predictors["down"] = Knows(video, causal=False, scale=scale)
        predicted = task.predicted_pixels(video)
        assert predicted is not None
        seen.append(predicted)
    assert torch.allclose(seen[0], seen[1], atol=1e-3)
