"""The configs that people start from: each is right, says how to begin, and trains a step on videos of its size."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from PIL import Image

import prepare
from config.files import CONFIG_FOLDER
from config.load import load_config
from data_utils.batches.loader import Loader
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.dataset_card import completed
from runs.process.seeds import seed_everything
from tasks import build_task
from tests.data_utils.conftest import write_video
from train import Trainer

FRAMES = {"ucf101": 63, "k400": 120, "ssv2": 50, "own_videos": 60}
SHORTER = {"ucf101": "128", "k400": "256", "ssv2": "240", "imagenet": "256", "own_videos": "128"}
SHALLOW = [f"hierarchy.{level}.layers=1" for level in ("space", "time", "clip")]  # the widths and sizes stay


def prepared(name: str, folder: Path) -> Path:
    """A dataset of six videos or pictures in two classes, prepared as the config's first lines say."""
    raw, out = folder / "raw", folder / "prepared"
    for number in range(6):
        split, kind = ("train", "train", "val")[number // 2], "ab"[number % 2]
        place = raw / split / kind if name == "imagenet" else raw / kind
        place.mkdir(parents=True, exist_ok=True)
        if name == "imagenet":
            pixels = np.random.default_rng(number).integers(0, 256, (300, 400, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.JPEG")
        else:
            write_video(place / f"{number}.mp4", FRAMES[name], (240, 320), "mpeg4", rate=30, first_number=100 * number)
    reader = "imagenet" if name == "imagenet" else "folder"
    with joblib.parallel_config(backend="sequential"):  # processes would take longer to start than this takes
        assert prepare.main([reader, "--raw", str(raw), "--out", str(out), "--size", SHORTER[name]]) == 0
    return out


@pytest.mark.parametrize("name", list(SHORTER))
def test_it_trains_a_step(name: str, tmp_path: Path) -> None:
    out = prepared(name, tmp_path)
    small = ["batch_size=2", "num_workers=0", "num_epochs=1", *SHALLOW]
    full, config = (load_config(f"{name}.yaml", [f"dataset.root={out}", *more]).config for more in ([], small))
    assert full.frame_size in ([112, 112], [224, 224])
    catalogs = open_catalogs(config, config.groups, tmp_path / "bad_videos.csv")
    config = completed(config)
    seed_everything(config.seed)
    task = build_task(config, catalogs["train"])
    failed: list[tuple[int, str]] = []
    before = {key: value.clone() for key, value in task.state_dict().items()}
    with closing(Loader(catalogs["train"], config, 2, config.seed, training=True)) as batches:
        trainer = Trainer(task, config, len(batches), torch.device("cpu"))
        report = next(trainer.epoch(batches, 0, 0, failed.extend))
    assert (failed, report.windows, report.skipped) == ([], 2, False)
    assert set(report.loss) == set(config.groups)
    changed = {key for key, value in task.state_dict().items() if not torch.equal(value, before[key])}
    assert all(any(level in key for key in changed) for level in config.groups)


@pytest.mark.parametrize("name", list(SHORTER))
def test_its_first_lines_say_how_to_begin_and_what_it_takes(name: str) -> None:
    lines = (CONFIG_FOLDER / f"{name}.yaml").read_text().splitlines()
    comment = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert comment[0] == f"# ./launcher.sh 0 {name}.yaml"
    text = " ".join(line.lstrip("# ") for line in comment)
    config = load_config(f"{name}.yaml", []).config
    (command,) = (line for line in comment if "prepare.py" in line)
    assert f"--out {config.dataset.root} --size {SHORTER[name]}" in command
    assert min(config.read_size) == int(SHORTER[name])  # nothing is enlarged when it is read
    for word in ("Measured", "estimate", "GB", "not measured"):
        assert word in text
