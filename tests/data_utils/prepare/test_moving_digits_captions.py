from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from config.data import Difficulty
from config.schema import Config
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.annotations.captions import Captions
from data_utils.prepare import moving_digits, moving_digits_easy, moving_digits_hard
from data_utils.prepare.embedded import make_missing

VIDEOS = {"train": 24, "val": 12, "test": 12}  # those of the fixture tiny_dataset
WORDS = re.compile(r"a (small|medium|large) (\d) moves (left|right|up|down), then (left|right|up|down)")


def test_every_video_has_a_caption_that_says_what_its_labels_say(tiny_dataset: Path) -> None:
    captions = pd.read_csv(tiny_dataset / "caption.csv").set_index("path")["caption"]
    rows = pd.concat([pd.read_csv(tiny_dataset / f"{split}.csv", dtype=str) for split in VIDEOS])
    assert sorted(captions.index) == sorted(rows["path"])
    sizes = set()
    for path, program, digit in zip(rows["path"], rows["program"], rows["digit"], strict=True):
        found = WORDS.fullmatch(captions[path])
        assert found is not None
        sizes.add(found[1])
        assert (found[2], f"{found[3]}-{found[4]}") == (digit, program)
    assert sizes == {"small", "medium", "large"}


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_the_size_is_that_of_the_digit_that_is_drawn(difficulty: Difficulty, monkeypatch: pytest.MonkeyPatch) -> None:
    module = moving_digits_easy if difficulty == "easy" else moving_digits_hard
    name = "_path" if difficulty == "easy" else "_follow"
    path, sides = getattr(module, name), []

    def noted(program: tuple[str, str], room: float, rng: np.random.Generator) -> NDArray[np.float64]:
        sides.append(moving_digits_easy.SIZE - room)
        drawn: NDArray[np.float64] = path(program, room, rng)
        return drawn

    monkeypatch.setattr(module, name, noted)
    low, high = module.SIDE
    for index in range(12):
        program, _, (scan, other), rng = moving_digits._cast(3, difficulty, "val", index)
        if other is None:
            moving_digits_easy.render(scan, program, rng)
        else:
            moving_digits_hard.render_hard(scan, other, program, rng)
        third = 3 * (sides[-1] - low) / (high - low)
        word = "small" if third < 1 else "medium" if third < 2 else "large"
        assert moving_digits.caption_of(3, difficulty, "val", index).split()[1] == word


def test_a_folder_of_an_earlier_version_gets_captions_where_they_are_asked_for_and_stays_as_it_is(
    tiny_dataset: Path, tiny_config: object, tmp_path: Path
) -> None:
    assert callable(tiny_config)
    root = tmp_path / "moving_digits"
    shutil.copytree(tiny_dataset, root)
    (root / "caption.csv").unlink()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    make_missing(tiny_config(root=root).dataset)
    assert not (root / "caption.csv").exists()
    make_missing(tiny_config("dataset.annotations={caption: captions}", root=root).dataset)
    assert (root / "caption.csv").read_bytes() == (tiny_dataset / "caption.csv").read_bytes()
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_config_reads_them_as_an_annotation(tiny_dataset: Path, tiny_config: object, tmp_path: Path) -> None:
    assert callable(tiny_config)
    config = tiny_config("dataset.annotations={caption: captions}", root=tiny_dataset)
    assert isinstance(config, Config)
    catalogs = open_catalogs(config, config.groups, tmp_path / "bad.csv")
    for split, catalog in catalogs.items():
        known = catalog.annotations["caption"]
        assert isinstance(known, Captions)
        assert known.is_known.all()
        assert known.text(0) == moving_digits.caption_of(0, "easy", split, 0)
