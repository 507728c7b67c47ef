from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from data_utils.catalog.annotations.classes import LabelSet
from figures.nearest_videos import NEIGHBOURS, QUERY, RIGHT, WRONG, draw_nearest_videos
from protocols.encoded import EncodedData
from protocols.encoded_split import EncodedSplit
from tasks.hierarchical import HierarchicalTask

Seen = tuple[HierarchicalTask, EncodedData]


def with_features(data: EncodedData, folder: Path, wrong: int | None, labelled: bool = True) -> EncodedData:
    """The data with features that say the program of each video, but for test video `wrong`, which they mistake."""
    copy = EncodedData(data.encoder, data.name, data.catalogs, data.config, data.device, data.bad_videos)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 16))
    for split in ("train", "test"):
        labels = data.catalogs[split].labels["program"]
        values = labels.values[:, 0].copy()
        if split == "test" and wrong is not None:
            values[wrong] = (values[wrong] + 1) % 12
        features = (centres[values] + 0.01 * rng.normal(size=(len(values), 16))).astype(np.float32)[:, None]
        known = labels if labelled else replace(labels, values=np.full_like(labels.values, -1))
        encoded = EncodedSplit.of_videos({1: {"clip": features}}, {"program": known})
        copy._encoded[split, len(data.catalogs[split].table)] = encoded
    return copy


def strips(fig: Figure) -> list[tuple[str, str, str]]:
    """(title, colour, line) of every strip that is drawn."""
    found = []
    for ax in fig.axes:
        frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        for frame in frames:
            found.append((ax.get_title(), to_hex(frame.get_edgecolor()), str(frame.get_linestyle())))
    return found


def test_right_and_wrong_ones_are_marked_by_sign_line_and_colour(
    seen: Seen, tmp_path: Path, drawn: dict[str, Figure]
) -> None:
    data = with_features(seen[1], tmp_path, wrong=None)
    assert draw_nearest_videos(data, "test", tmp_path) is not None
    found = strips(drawn["nearest_videos"])
    assert {colour for _, colour, _ in found} == {QUERY[0], RIGHT[0], WRONG[0]}  # two of a class train, four are shown
    for title, colour, line in found:
        sign = {RIGHT[0]: RIGHT[2], WRONG[0]: WRONG[2]}.get(colour, "")
        assert title.startswith(sign)
        assert line == (WRONG[1] if colour == WRONG[0] else "-")
    queries = [title for title, colour, _ in found if colour == QUERY[0]]
    for number, title in enumerate(queries):
        near = found[number * (1 + NEIGHBOURS) + 1 :][:NEIGHBOURS]
        for neighbour, colour, _ in near:
            same = neighbour[2:].rsplit(" (", 1)[0] == title
            assert (colour == RIGHT[0]) == same


@pytest.mark.parametrize("wrong", [2, 9])
def test_the_worst_video_is_the_one_that_features_mistake(
    seen: Seen, tmp_path: Path, drawn: dict[str, Figure], wrong: int
) -> None:
    data = with_features(seen[1], tmp_path, wrong=wrong)
    draw_nearest_videos(data, "test", tmp_path)
    rows = [ax for ax in drawn["nearest_videos"].axes if ax.get_ylabel() == "worst"]
    labels = seen[1].catalogs["test"].labels["program"]
    assert len(rows) == 1
    chosen = {ax.get_title() for ax in drawn["nearest_videos"].axes if ax.get_ylabel() == "by chance"}
    truth = labels.classes[labels.values[wrong, 0]]
    assert rows[0].get_title() == truth or truth in chosen


def test_without_labels_paths_are_shown_and_nothing_is_right_or_wrong(
    seen: Seen, tmp_path: Path, drawn: dict[str, Figure]
) -> None:
    data = with_features(seen[1], tmp_path, wrong=None, labelled=False)
    draw_nearest_videos(data, "test", tmp_path)
    found = strips(drawn["nearest_videos"])
    assert {colour for _, colour, _ in found} == {QUERY[0]}
    assert all(".mp4" in title for title, _, _ in found)


def test_a_set_with_a_class_for_each_part_shows_parts(seen: Seen, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    copy = with_features(seen[1], tmp_path, wrong=None)
    for (split, _), encoded in list(copy._encoded.items()):
        motion: LabelSet = seen[1].catalogs[split].labels["motion"]
        features = np.random.default_rng(1).normal(size=(*motion.values.shape, 4)).astype(np.float32)
        copy._encoded[split, len(motion.values)] = replace(
            encoded, features={2: {"clip": features}}, labels={"motion": motion}
        )
    assert draw_nearest_videos(copy, "test", tmp_path) is not None
    titles = [title for title, colour, _ in strips(drawn["nearest_videos"]) if colour == QUERY[0]]
    assert set(titles) <= set(seen[1].catalogs["test"].labels["motion"].classes)
