from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from config.errors import InputError
from data_utils.views.views import TrainingViews, View
from monitors import (
    FloatArray,
    Singles,
    collapse_alarms,
    effective_rank,
    end_run_on_alarms,
    feature_monitors,
    gradient_norms,
    lidar,
    linear_cka,
    shuffled_ratios,
    spread,
)
from tasks.task import Losses, ParameterGroup, StepContext, Task


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return rng(seed).normal(size=shape)


def exp_entropy(values: Any) -> float:
    shares = [value / sum(values) for value in values if value > 0]
    return math.exp(-sum(share * math.log(share) for share in shares))


# -------------------------------------------------------------------------------------------------------- the rank


def test_effective_rank_counts_directions() -> None:
    for dim in (2, 7):
        spread_out = np.concatenate([np.eye(dim), -np.eye(dim)]).astype(np.float32)
        assert effective_rank(spread_out + 5) == pytest.approx(dim, rel=1e-6)
    line = np.linspace(-1, 1, 50)[:, None] * np.ones(6) + 3
    assert effective_rank(line.astype(np.float32)) == pytest.approx(1, abs=0.01)
    # By hand: singular values 3 and 1 give the entropy of (3/4, 1/4).
    uneven = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], np.float32)
    assert effective_rank(uneven) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))


def test_effective_rank_equals_the_entropy_of_the_root_of_the_covariances_eigenvalues() -> None:
    vectors = (normal(300, 9) @ normal(9, 9, seed=1) + 4).astype(np.float32)
    eigenvalues = np.linalg.eigvalsh(np.cov(vectors.astype(np.float64).T))
    assert effective_rank(vectors) == pytest.approx(exp_entropy(np.sqrt(eigenvalues)), rel=1e-6)


def test_vectors_that_are_alike_up_to_rounding_have_one_direction() -> None:
    assert effective_rank(np.full((50, 6), 0.3, np.float32)) == 1
    assert effective_rank(np.zeros((50, 6), np.float32)) == 1
    assert effective_rank((0.3 + 1e-8 * normal(50, 6)).astype(np.float32)) == 1
    assert effective_rank((0.3 + 1e-3 * normal(50, 6)).astype(np.float32)) > 5


# --------------------------------------------------------------------------------------------------- the deviation


def test_spread_is_one_on_a_sphere_and_zero_when_all_are_alike() -> None:
    vectors = normal(5000, 16).astype(np.float32)
    assert spread(vectors) == pytest.approx(1, abs=0.02)
    assert spread(100 * vectors) == pytest.approx(spread(vectors), rel=1e-6)
    assert spread(np.full((50, 16), 0.3, np.float32)) == pytest.approx(0, abs=1e-12)
    assert spread(np.zeros((50, 16), np.float32)) == 0
    assert spread(vectors * 0.01 + 1) < 0.05


def test_spread_by_a_loop() -> None:
    vectors = normal(30, 4).astype(np.float32)
    unit = [[float(x) / math.hypot(*map(float, row)) for x in row] for row in vectors]
    columns = list(zip(*unit, strict=True))
    std = [math.sqrt(sum((x - sum(c) / 30) ** 2 for x in c) / 30) for c in columns]
    assert spread(vectors) == pytest.approx(2 * sum(std) / 4, rel=1e-9)


# -------------------------------------------------------------------------------------------------------------- LiDAR


def videos_and_windows(
    separated: int, dim: int = 12, videos: int = 2000, windows: int = 8, noise: float = 0.01
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Videos differ along the first `separated` axes; windows differ by `noise` along every axis."""
    centre = np.zeros((videos, dim))
    centre[:, :separated] = normal(videos, separated)
    rows = np.repeat(np.arange(videos), windows)
    return (centre[rows] + noise * normal(len(rows), dim, seed=1)).astype(np.float32), rows


def naive_lidar(windows: FloatArray, rows: NDArray[np.int64]) -> float:
    """Sums of outer products in float64, and the symmetric matrix of the paper."""
    by_video = [windows[rows == row].astype(np.float64) for row in sorted(set(rows.tolist()))]
    by_video = [vectors for vectors in by_video if len(vectors) > 1]
    dim, total = windows.shape[1], sum(map(len, by_video))
    means = [vectors.mean(axis=0) for vectors in by_video]
    centre = sum(means) / len(means)
    between = sum(np.outer(mean - centre, mean - centre) for mean in means) / len(means)
    within = np.zeros((dim, dim))
    for vectors, mean in zip(by_video, means, strict=True):
        for vector in vectors:
            within += np.outer(vector - mean, vector - mean) / total
    within += 1e-4 * np.trace(between + within) / dim * np.eye(dim)
    values, axes = np.linalg.eigh(within)
    root = axes @ np.diag(values**-0.5) @ axes.T
    return exp_entropy(np.linalg.eigvalsh(root @ between @ root))


@pytest.mark.parametrize("dim", [3, 8, 40])
def test_lidar_equals_the_papers_matrix_by_a_loop(dim: int) -> None:
    rows = rng(5).permutation(np.repeat(np.arange(20), rng(6).integers(1, 5, size=20)))
    centre = 2 * normal(20, dim)
    windows = (centre[rows] + normal(len(rows), dim, seed=3) @ normal(dim, dim, seed=4) + 5).astype(np.float32)
    assert lidar(windows, rows) == pytest.approx(naive_lidar(windows, rows), rel=1e-5)


@pytest.mark.parametrize("separated", [1, 3, 9, 12])
def test_lidar_counts_the_directions_that_separate_videos(separated: int) -> None:
    assert lidar(*videos_and_windows(separated)) == pytest.approx(separated, rel=0.05)


def test_directions_in_which_windows_differ_as_much_as_videos_stop_counting() -> None:
    windows, rows = videos_and_windows(12)
    assert lidar(windows, rows) == pytest.approx(12, rel=0.05)
    windows[:, 4:] += normal(len(windows), 8, seed=2).astype(np.float32)
    drowned = lidar(windows, rows)
    assert drowned is not None
    assert drowned == pytest.approx(4, rel=0.1)
    # Rank cannot see it: the noise fills the directions.
    assert effective_rank(windows) > 11


def test_lidar_is_the_same_for_any_scale_and_offset() -> None:
    windows, rows = videos_and_windows(5, videos=100, noise=0.3)
    expected = lidar(windows, rows)
    assert lidar(64 * windows, rows) == pytest.approx(expected, rel=1e-9)
    assert lidar((windows / 64).astype(np.float32), rows) == pytest.approx(expected, rel=1e-9)
    assert lidar(windows + 2, rows) == pytest.approx(expected, rel=1e-4)


def test_lidar_of_a_collapse_is_one() -> None:
    assert lidar(np.full((20, 6), 0.3, np.float32), np.arange(20) // 2) == 1
    windows, rows = videos_and_windows(1, noise=0.0)
    assert lidar(windows, rows) == pytest.approx(1)


def test_lidar_is_absent_where_it_would_be_wrong() -> None:
    windows = normal(6, 3).astype(np.float32)
    assert lidar(windows, np.arange(6)) is None
    assert lidar(windows, np.array([0, 0, 0, 1, 2, 3])) is None
    assert lidar(windows[:0], np.arange(0)) is None
    two = lidar(windows, np.array([0, 0, 5, 5, 2, 3]))
    assert two == lidar(windows[:4], np.array([0, 0, 1, 1])) == pytest.approx(1)  # two means lie on a line


# ---------------------------------------------------------------------------------------------------------------- CKA


def test_cka_equals_the_alignment_of_centred_gram_matrices() -> None:
    one, other = normal(60, 7) + 3, normal(60, 4, seed=1)
    other[:, 0] += one[:, 0]
    centring = np.eye(60) - 1 / 60
    k, m = centring @ one @ one.T @ centring, centring @ other @ other.T @ centring
    expected = np.trace(k @ m) / math.sqrt(np.trace(k @ k) * np.trace(m @ m))
    assert 0.05 < expected < 0.95
    assert linear_cka(one.astype(np.float32), other.astype(np.float32)) == pytest.approx(expected, rel=1e-5)


def test_cka_is_one_up_to_rotation_scale_and_offset_and_not_up_to_any_linear_map() -> None:
    features = (normal(200, 10) * np.arange(1, 11)).astype(np.float32)
    rotation = np.linalg.qr(normal(10, 10, seed=1))[0]
    assert linear_cka(features, (0.01 * features @ rotation + 2).astype(np.float32)) == pytest.approx(1, abs=1e-5)
    assert linear_cka(features, np.pad(features, ((0, 0), (0, 5)))) == pytest.approx(1, abs=1e-6)
    whitened = (features / np.arange(1, 11)).astype(np.float32)
    assert 0.3 < (linear_cka(features, whitened) or 0) < 0.9


def test_cka_of_independent_features_is_near_zero_with_many_samples() -> None:
    few, many = (linear_cka(*(normal(n, 8, seed=s).astype(np.float32) for s in (1, 2))) for n in (20, 20000))
    assert few is not None
    assert many is not None
    assert many < 0.002 < 0.1 < few


def test_cka_of_a_constant_is_absent() -> None:
    features, constant = normal(20, 4).astype(np.float32), np.full((20, 3), 0.3, np.float32)
    assert linear_cka(features, constant) is None
    assert linear_cka(constant, features) is None
    features[0, 0] = np.nan
    assert linear_cka(features, features) is None


# ------------------------------------------------------------------------------------------------- features of a split


def test_monitors_of_a_split_are_by_level_and_pair() -> None:
    units = {level: normal(40, u, d, seed=d).astype(np.float32) for level, u, d in (("space", 4, 6), ("clip", 1, 5))}
    rows = np.arange(40) // 2
    videos = {level: vectors.mean(axis=1)[::2] for level, vectors in units.items()}
    flat = {level: vectors.reshape(-1, vectors.shape[2]) for level, vectors in units.items()}
    means = {level: vectors.mean(axis=1) for level, vectors in units.items()}
    found = feature_monitors(Singles(flat, means, rows), videos)
    assert found == {
        "rank": {level: effective_rank(vectors) for level, vectors in flat.items()},
        "std": {level: spread(vectors) for level, vectors in flat.items()},
        "lidar": {level: lidar(vectors, rows) for level, vectors in means.items()},
        "cka": {"space-clip": linear_cka(videos["space"], videos["clip"])},
    }
    assert list(found["rank"]) == ["space", "clip"]


def test_what_cannot_be_measured_is_absent() -> None:
    alike = np.ones((6, 3), np.float32)
    singles = Singles({"space": np.ones((12, 3), np.float32)}, {"space": alike}, np.arange(6))
    found = feature_monitors(singles, {"space": alike, "time": alike})
    assert found == {"rank": {"space": 1.0}, "std": {"space": pytest.approx(0, abs=1e-12)}, "lidar": {}, "cka": {}}


# -------------------------------------------------------------------------------------------------- predictions


class Predicting(Task):
    """Videos are numbers; predicts `gain` times a video's number, and something that is the same for all."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain, self.asked = gain, 0
        self.weight = nn.Parameter(torch.ones(()))

    @property
    def encoder(self) -> nn.Module:
        return self

    @property
    def views(self) -> tuple[View, ...]:
        return (View(),)

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        return {}

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        return {}

    def prediction_errors(
        self, video_BTCHW: Tensor, generator: torch.Generator
    ) -> dict[str, dict[str, tuple[float, float]]]:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.asked += 1
        target_B = self.weight * video_BTCHW[:, 0, 0, 0, 0]
        other_B = target_B.roll(1 + int(torch.randint(len(target_B) - 1, (), generator=generator)))

        def error(prediction_B: Tensor, against_B: Tensor) -> float:
            return float((prediction_B - against_B).pow(2).mean())

        knows, constant = self.gain * target_B, torch.full_like(target_B, 3.0)
        return {
            "space": {"up": (error(knows, target_B), error(knows, other_B))},
            "time": {
                "up": (error(constant, target_B), error(constant, other_B)),
                "side": (error(constant, target_B), error(constant, other_B)),
            },
        }


def numbers(*batches: int) -> list[Tensor]:
    return [torch.from_numpy(normal(size, 1, 1, 1, 1, seed=size)) for size in batches]


@pytest.mark.parametrize("training", [True, False])
def test_a_constant_predictor_has_a_ratio_of_one_and_a_perfect_one_of_zero(training: bool) -> None:
    task = Predicting(gain=1.0).train(training)
    found = shuffled_ratios(task, numbers(16, 12, 1), seed=3)
    assert found["shuffled_up"] == {"space": 0.0, "time": pytest.approx(1.0, rel=1e-9)}
    assert found["shuffled_side"] == {"time": pytest.approx(1.0, rel=1e-9)}
    assert set(found) == {"shuffled_up", "shuffled_side"}
    assert task.training == training
    assert task.asked == 2  # a single video has no other one
    assert task.weight.grad is None
    assert shuffled_ratios(task, numbers(16, 12), seed=3) == found


def test_the_ratio_is_that_of_the_summed_errors() -> None:
    # A prediction of 0.5 y has the error 0.25 y^2, and (0.5 y - y')^2 against another video's.
    found = shuffled_ratios(Predicting(gain=0.5), numbers(2, 2), seed=0)
    y = normal(2, seed=2)
    expected = sum(0.25 * y**2) / sum((0.5 * y - y[::-1]) ** 2)
    assert found["shuffled_up"]["space"] == pytest.approx(expected, rel=1e-6)


def test_targets_that_are_all_the_same_say_nothing() -> None:
    found = shuffled_ratios(Predicting(gain=1.0), [torch.ones(4, 1, 1, 1, 1)], seed=0)
    assert found["shuffled_up"]["space"] == 1.0


def test_no_video_and_no_predictor_give_no_ratio() -> None:
    assert shuffled_ratios(Predicting(gain=1.0), numbers(1), seed=0) == {}


# ---------------------------------------------------------------------------------------------------- gradients


def test_gradient_norms_are_means_since_the_last_validation() -> None:
    def step(number: int, **norms: float | None) -> dict[str, Any]:
        return {"kind": "step", "step": number, "grad_norm": norms}

    records: list[dict[str, Any]] = [
        {"kind": "validation", "step": 0},
        step(1, space=100.0, time=100.0),
        {"kind": "validation", "step": 1},
        step(2, space=1.0, time=None, clip=None),
        {"kind": "note"},
        step(3, space=None, time=3.0, clip=None),
        step(4, space=2.0, time=6.0),
    ]
    found = gradient_norms(records)
    assert list(found) == ["space", "time", "clip"]
    assert found["space"] == 1.5
    assert found["time"] == 4.5
    assert math.isnan(found["clip"])
    assert gradient_norms(records[:3]) == gradient_norms([]) == {}
    assert gradient_norms(records[:2]) == {"space": 100.0, "time": 100.0}


# ---------------------------------------------------------------------------------------------------- the alarms


def measured(**changes: Any) -> dict[str, dict[str, float]]:
    """Healthy monitors of two levels, with those of `time` changed."""
    healthy = {"rank": 20.0, "lidar": 30.0, "std": 0.3, "shuffled_up": 0.5, "shuffled_side": 0.5, "grad_norm": 1.0}
    return {name: {"space": value, "time": changes.get(name, value)} for name, value in healthy.items()} | {
        "cka": {"space-time": 1.0}
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"rank": 5.0}, []),
        ({"rank": 4.6}, ["rank of time fell to 4.6, below 25 % of its value at init (20.0)"]),
        ({"rank": 1.75}, ["rank of time fell to 1.8, below 25 % of its value at init (20.0)"]),
        ({"lidar": 7.5}, []),
        ({"lidar": 2.7}, ["LiDAR of time fell to 2.7, below 25 % of its value at init (30.0)"]),
        ({"std": 0.0301}, []),
        ({"std": 0.027}, ["std of time fell to 0.027, below 10 % of its value at init (0.3)"]),
        ({"shuffled_up": 0.99}, []),
        ({"shuffled_up": 0.9949, "shuffled_side": 1.5}, []),
        (
            {"shuffled_up": 0.996, "shuffled_side": 1.01},
            [
                "predictions of time say nothing about the video: in every direction their error is at least 99.5 % of "
                "that against another video's target (up 99.6 %, side 101.0 %)"
            ],
        ),
        ({"grad_norm": 1e-30}, []),
        ({"grad_norm": 0.0}, ["gradient norm of time is 0: it does not learn"]),
        ({"grad_norm": math.nan}, ["gradient norm of time is not finite"]),
        ({"grad_norm": math.inf}, ["gradient norm of time is not finite"]),
        (
            {"rank": 1.0, "std": 0.0, "lidar": 1.0},
            [
                "rank of time fell to 1.0, below 25 % of its value at init (20.0)",
                "LiDAR of time fell to 1.0, below 25 % of its value at init (30.0)",
                "std of time fell to 0, below 10 % of its value at init (0.3)",
            ],
        ),
    ],
)
def test_a_collapse_is_announced(changes: dict[str, float], expected: list[str]) -> None:
    assert collapse_alarms(measured(**changes), measured()) == expected


def test_predictions_get_until_the_second_validation_to_tell_videos_apart() -> None:
    now = {"shuffled_up": {"time": 1.0}, "rank": {"time": 1.0}}
    at_init = {"rank": {"time": 20.0}}
    assert len(collapse_alarms(now, at_init)) == 2
    assert collapse_alarms(now, at_init, first=True) == [
        "rank of time fell to 1.0, below 25 % of its value at init (20.0)"
    ]


def test_a_fall_to_a_quarter_of_a_high_rank_is_a_collapse() -> None:
    at_init = {"rank": {"space": 100.0}}
    assert len(collapse_alarms({"rank": {"space": 24.9}}, at_init)) == 1
    assert collapse_alarms({"rank": {"space": 25.0}}, at_init) == []


def test_the_collapse_of_the_published_attempt_is_seen_and_its_mended_form_is_none() -> None:
    at_init = {"rank": {"space": 29.0, "time": 20.0, "clip": 15.0}}
    assert len(collapse_alarms({"rank": {"space": 4.0, "time": 2.0, "clip": 3.0}}, at_init)) == 3
    assert collapse_alarms({"rank": {"space": 16.0, "time": 8.0, "clip": 7.0}}, at_init) == []


def test_a_rank_that_was_too_low_from_the_start_did_not_fall() -> None:
    alarms = collapse_alarms({"rank": {"clip": 1.9}}, {"rank": {"clip": 1.6}})
    assert alarms == ["rank of clip is 1.9, below 2: its features vary along a single direction"]
    alarms = collapse_alarms({"std": {"clip": 4e-7}}, {"std": {"clip": 3e-7}})
    assert alarms == ["std of clip is 4e-07, below 1e-06: its features are all the same"]


def test_vectors_that_are_equal_up_to_rounding_are_a_collapse_whatever_they_were() -> None:
    assert len(collapse_alarms({"std": {"space": 5e-7}}, {"std": {"space": 1e-7}})) == 1
    assert collapse_alarms({"std": {"space": 5e-6}}, {"std": {"space": 1e-7}}) == []


@pytest.mark.parametrize("monitor", ["rank", "lidar", "std", "shuffled_up"])
def test_what_is_not_a_number_is_an_alarm(monitor: str) -> None:
    (alarm,) = collapse_alarms({monitor: {"space": math.nan}}, {monitor: {"space": 1.0}})
    assert "nan" in alarm
    assert "space" in alarm


def test_features_that_are_not_finite_give_an_alarm_and_no_crash() -> None:
    vectors = normal(8, 3).astype(np.float32)
    vectors[0, 0] = np.nan
    rows = np.arange(8) // 2
    for value in (effective_rank(vectors), lidar(vectors, rows), spread(vectors)):
        assert value is not None
        assert math.isnan(value)


def test_a_monitor_without_a_value_at_init_has_no_share() -> None:
    assert collapse_alarms(measured(lidar=0.5), measured() | {"lidar": {}}) == []


def test_strict_monitors_end_the_run_with_the_reason() -> None:
    end_run_on_alarms([], 7)
    with pytest.raises(InputError, match=r"^strict_monitors: alarm at step 7: rank of time .* \(and 1 more\); last"):
        end_run_on_alarms(["rank of time fell", "std of time fell"], 7)
