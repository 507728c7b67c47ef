from __future__ import annotations

import pickle

import numpy as np
import pandas as pd

from data_utils.formats.numbers_by_path import NumbersByPath


def test_finds_the_count_of_every_path_and_of_no_other() -> None:
    paths = np.array([f"class {number % 7}/ü '{number}.mp4" for number in range(1000)], object)
    counts = NumbersByPath("/data/root", paths, pd.Series(np.arange(1000) + 5))
    for known in (counts, pickle.loads(pickle.dumps(counts))):
        assert [known.of(f"/data/root/{path}") for path in paths] == list(range(5, 1005))
        assert known.of("/data/root/class 0/ü '1000.mp4") is None
        assert known.of("/data/other/class 0/ü '0.mp4") is None


def test_roots_may_be_relative_or_end_with_a_slash() -> None:
    paths = np.array(["a.mp4"], object)
    assert NumbersByPath("data/", paths, [3]).of("data/a.mp4") == 3
    assert NumbersByPath(".", paths, [3]).of("a.mp4") == 3
    assert NumbersByPath("/", paths, [3]).of("/a.mp4") == 3
    assert NumbersByPath("data", np.array([], object), []).of("data/a.mp4") is None


def test_a_path_takes_sixteen_bytes() -> None:
    paths = np.array([f"some/folder/with/a/name/{number}.mp4" for number in range(10_000)], object)
    assert len(pickle.dumps(NumbersByPath("/root", paths, range(10_000)))) < 17 * 10_000
