"""Whether features tell a window from its reverse and from its shuffle: where the answer is known, it is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from config.schema import Config
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoded import EncodedData
from protocols.metrics import confidence_interval
from protocols.protocol import Score, Subject
from protocols.temporal_order import (
    Orders,
    TemporalOrder,
    TemporalOrderSettings,
    encode_orders,
    joined,
    order_scores,
    reordered,
    shuffle,
)
from protocols.window_memory import WindowMemory

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")


def scores(found: list[Score]) -> dict[tuple[str | None, str], float]:
    assert all((score.labels, score.unit, score.chance) == (None, "%", 50.0) for score in found)
    return {(score.level, score.metric): score.value for score in found}


# ------------------------------------------------------------------------------------------------------ the pieces


def test_a_shuffle_is_never_the_windows_own_order_and_a_function_of_its_key() -> None:
    for first in range(50):
        order = shuffle(3, 1, first, 3)
        assert sorted(order.tolist()) == [0, 1, 2] != order.tolist()
        assert torch.equal(order, shuffle(3, 1, first, 3))
    assert shuffle(0, 0, 0, 2).tolist() == [1, 0]
    assert len({tuple(shuffle(*key, 8).tolist()) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}) == 4


def test_frames_change_places_and_nothing_else() -> None:
    video = torch.arange(2 * 3 * 1 * 1 * 2).float().view(2, 3, 1, 1, 2)
    found = reordered(video, torch.tensor([[2, 0, 1], [1, 2, 0]]))
    assert torch.equal(found[0], video[0, [2, 0, 1]])
    assert torch.equal(found[1], video[1, [1, 2, 0]])


def test_units_are_joined_in_order_or_averaged() -> None:
    frames = torch.rand(2, 6, 3)
    assert torch.equal(joined(frames, 6, "in_order"), frames.reshape(2, 18))
    assert torch.equal(joined(frames, 6, "mean"), frames.mean(dim=1))
    clips = torch.rand(2, 2, 3)
    assert torch.equal(joined(clips, 6, "in_order"), clips.reshape(2, 6))
    patches = torch.rand(2, 6 * 4, 3)  # those of one frame follow one another
    torch.testing.assert_close(joined(patches, 6, "in_order"), patches.view(2, 6, 4, 3).mean(dim=2).reshape(2, 18))


def orders(forward: Any, differs: Any = None, videos: Any = None, groups: Any = None) -> Orders:
    """Windows whose features are their numbers: backwards and shuffled, they have another sign or not."""
    forward = np.asarray(forward, np.float32)
    count = len(forward)
    features = np.stack([forward, -forward, forward], axis=1)[:, :, None]
    return Orders(
        {"clip": features},
        np.ones((count, 2), np.bool_) if differs is None else np.asarray(differs),
        np.arange(count) if videos is None else np.asarray(videos),
        None if groups is None else np.asarray(groups, object),
    )


def test_a_probe_finds_what_tells_orders_apart_and_nothing_where_nothing_does() -> None:
    train, test = orders(np.linspace(1, 2, 40)), orders(np.linspace(1, 2, 30))
    found = order_scores(train, test, ["clip"], TemporalOrderSettings())
    assert scores(found) == {("clip", "reversed"): 100.0, ("clip", "shuffled"): 50.0}
    assert [score.interval for score in found] == [confidence_interval(value, 30) for value in (100.0, 50.0)]


def test_windows_that_are_the_same_in_both_orders_are_not_asked_about() -> None:
    differs = np.ones((30, 2), np.bool_)
    differs[:10, 0] = False
    values = np.where(np.arange(30) < 10, -1.0, 1.0)  # these would be wrong
    found = order_scores(orders(np.ones(40)), orders(values, differs), ["clip"], TemporalOrderSettings())
    assert scores(found)["clip", "reversed"] == 100.0
    assert found[0].interval == confidence_interval(100.0, 20)
    nothing_moves = orders(np.ones(30), np.zeros((30, 2), np.bool_))
    assert order_scores(orders(np.ones(40)), nothing_moves, ["clip"], TemporalOrderSettings()) == []
    assert order_scores(nothing_moves, orders(np.ones(40)), ["clip"], TemporalOrderSettings()) == []


def test_the_score_is_the_mean_over_videos_and_groups_make_its_interval_wider() -> None:
    values = np.where(np.arange(40) < 30, 1.0, -1.0)  # a quarter is wrong
    videos = np.where(np.arange(40) < 30, 0, np.arange(40))  # but the right ones are of a single video
    (found, _) = order_scores(orders(np.ones(40)), orders(values, videos=videos), ["clip"], TemporalOrderSettings())
    assert found.value == pytest.approx(100 / 11)
    apart = orders(np.tile([1.0, -1.0], 20))
    together = orders(np.tile([1.0, -1.0], 20), groups=[f"{row % 4}" for row in range(40)])
    alone, grouped = (
        order_scores(orders(np.ones(40)), test, ["clip"], TemporalOrderSettings())[0] for test in (apart, together)
    )
    assert alone.value == grouped.value == 50.0
    assert alone.interval is not None
    assert grouped.interval is not None
    assert grouped.interval > 1.5 * alone.interval


# ------------------------------------------------------------------------------------------------- on real windows


class FirstFrameBrightness(nn.Module):
    """Knows the mean of the window's first frame; and that of every frame."""

    def forward(self, video_BTCHW: Tensor) -> dict[str, Tensor]:
        brightness_BT1 = video_BTCHW.mean(dim=(2, 3, 4))[:, :, None]
        return {"space": brightness_BT1, "clip": brightness_BT1[:, :1]}


@pytest.fixture
def subject(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> Callable[..., tuple[Subject, TemporalOrder]]:
    def make(*overrides: str, encoder: nn.Module | None = None, **settings: Any) -> tuple[Subject, TemporalOrder]:
        config = tiny_config(*overrides, root=tiny_catalogs["test"].root)
        bad_videos = BadVideos(tmp_path / "bad_videos.csv", 48, 0.0, "digits")
        data = EncodedData(
            encoder or FirstFrameBrightness(), "digits", tiny_catalogs, config, CPU, bad_videos, WindowMemory(10)
        )
        levels: dict[str, list[str]] = {"space": [], "clip": []}
        return Subject(data, "test", levels, {}, seed=5), TemporalOrder(TemporalOrderSettings(**settings))

    return make


def test_every_window_is_encoded_forwards_backwards_and_shuffled(
    subject: Callable[..., tuple[Subject, TemporalOrder]],
) -> None:
    asked, _ = subject()
    found = encode_orders(asked, "test", TemporalOrderSettings())
    in_order = found.features["space"]
    assert in_order.shape == (24, 3, 6)  # 12 videos, two windows of 6 frames
    np.testing.assert_array_equal(in_order[:, 1], in_order[:, 0, ::-1])
    np.testing.assert_array_equal(np.sort(in_order[:, 2]), np.sort(in_order[:, 0]))
    assert (in_order[:, 2] != in_order[:, 0]).any(axis=1).all()
    assert found.video_W.tolist() == [row for row in range(12) for _ in range(2)]
    assert found.differs_W2.all()
    few = encode_orders(asked, "test", TemporalOrderSettings(videos=4, units="mean"))
    assert few.features["space"].shape == (8, 3, 1)
    np.testing.assert_allclose(few.features["space"][:, 1], few.features["space"][:, 0], rtol=1e-5)


def test_windows_of_a_still_picture_are_told_and_left_out(
    subject: Callable[..., tuple[Subject, TemporalOrder]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked, protocol = subject()
    windows = EncodedData.windows

    def still(self: EncodedData, split: str, videos: int | None = None) -> Any:
        for batch in windows(self, split, videos):
            batch.video_BTCHW[batch.row_B == 0] = 7
            yield batch

    monkeypatch.setattr(EncodedData, "windows", still)
    assert len(protocol.score(asked)) == 4
    assert "2 of 24 windows of test are the same when reversed (nothing moves): they are left out" in caplog.text
    assert "2 of 48 windows of train are the same when shuffled" in caplog.text


def test_single_frames_have_no_order_and_the_encoder_stays_as_it_was(
    subject: Callable[..., tuple[Subject, TemporalOrder]], caplog: pytest.LogCaptureFixture
) -> None:
    encoder = nn.Sequential(FirstFrameBrightness()).train()
    asked, protocol = subject(encoder=encoder)
    assert [(score.level, score.metric) for score in protocol.score(asked)] == [
        (level, kind) for level in ("space", "clip") for kind in ("reversed", "shuffled")
    ]
    assert encoder.training
    one_frame = "window={length: 1, frequency: 1, step: null, max_seq_per_video: 1, eval_windows: 2}"
    asked, protocol = subject(one_frame, "groups=[space, time]", "hierarchy.frames_per_clip=1")
    assert protocol.score(asked) == []
    assert "temporal order is not scored: windows of a single frame have none" in caplog.text
