"""The whole way of OmniMAE and PPMA on a few tiny videos: masked, aligned on two datasets, probed, averaged."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import main
from config.load import load_config
from config.schema import Config
from evaluation.command import main as eval_main
from optimizers import Pace
from runs.checkpoint import load_checkpoint
from runs.folder import RunFolder
from tasks.encoder import build_network
from tests.conftest import TINY

SMALL = """\
encoder: joint
num_epochs: 1
batch_size: 8
val_interval: 0
validate_before: false
figures: []
figure_epochs: 0
choose_by: null
pixel_floors: false
evaluations: {knn: null, linear_probe: null, supervised: {protocol: classifier, when: [test]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path) -> Path:
    """A config, and a catalog of the same videos whose classes have the same names and other meanings."""
    folder = tmp_path_factory.mktemp("alignment")
    lines = [
        line for line in TINY.splitlines() if not line.startswith(("encoder:", "batch_size:", "figures:", "knn_k:"))
    ]
    (folder / "small.yaml").write_text("\n".join(lines) + "\n" + SMALL)
    (folder / "others").mkdir()
    with (tiny_dataset / "train.csv").open(newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    with (folder / "others/train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label"], *([path, number % 3] for number, path in enumerate(paths))])
    return folder


@pytest.fixture(scope="module")
def started(folder: Path, tiny_dataset: Path) -> Callable[..., RunFolder]:
    """Trains: `started(name, "key=value", ...)`."""
    root = f'root: "{tiny_dataset}"'
    dataset = f"dataset={{name: moving_digits, {root}, videos: {{train: 24, val: 12, test: 12}}, seed: 0}}"
    other = f'{{dataset: {{name: catalog, {root}, catalog: "{folder / "others"}"}}'

    def start(name: str, *overrides: str) -> RunFolder:
        images, clips = f"{{data: {other}, window: {{length: 1}}}}}}", f"{{data: {other}}}, repeat: 0.5}}"
        datasets = f"datasets={{images: {images}, clips: {clips}}}"
        arguments = [
            str(folder / "small.yaml"),
            dataset,
            datasets,
            f"save_path={folder}",
            f"model_name={name}",
            *overrides,
        ]
        assert main.main(arguments) == 0
        return RunFolder(folder / name)

    return start


@pytest.fixture(scope="module")
def aligned(started: Callable[..., RunFolder]) -> tuple[RunFolder, RunFolder]:
    """A masked autoencoder of videos and images, and its encoder aligned on the labels of both."""
    mae = started("mae", "task=masked", "masked.repeats=2")
    encoder = f"encoder_checkpoint={mae.checkpoints / 'encoder.safetensors'}"
    return mae, started("aligned", "task=supervised", encoder, "supervised.layer_decay=0.75", "supervised.mixup=0.8")


def test_images_and_videos_train_in_one_run(aligned: tuple[RunFolder, RunFolder]) -> None:
    for run in aligned:
        summary = json.loads(run.summary.read_text())
        assert summary["steps"] == 3 + 3 + 2  # 24 windows in batches of 8; half of three batches are two
    mae, run = (load_checkpoint(run.last)["task"] for run in aligned)
    assert {name for name in run if "classifiers" in name} == {
        f"{kind}.{part}"
        for kind in ("classifiers.clip", "further_classifiers.images.clip", "further_classifiers.clips.clip")
        for part in ("weight", "bias")
    }
    assert run["classifiers.clip.weight"].shape[0] == 12
    assert run["further_classifiers.clips.clip.weight"].shape[0] == 3
    assert set(mae) > {name for name in run if name.startswith("network.")}


def test_an_aligned_encoder_starts_from_the_masked_one(aligned: tuple[RunFolder, RunFolder]) -> None:
    """The first layers move least: layer decay, and a learning rate that begins low."""
    before, after = (load_checkpoint(run.last)["task"] for run in aligned)
    change = {name: (after[name] - before[name]).abs().max() for name in after if name.startswith("network.")}
    assert 0 < change["network.embedding.weight"] < change["network.norm.weight"]


def test_probes_of_single_and_averaged_encoders(aligned: tuple[RunFolder, RunFolder], folder: Path) -> None:
    mae, run = aligned
    settings = "evaluations.averaged_probe.settings"
    views = ["window.eval_windows=2", "eval_crop=three", "load_size=[16,32]"]
    probe = [f'{settings}.others=["{mae.root}"]', f"{settings}.epochs=1", f"{settings}.average=logits"]
    arguments = [str(run.root), "--protocol", "averaged_probe", "--no-random-init", "--out", str(folder / "scores")]
    assert eval_main([*arguments, "--set", *views, *probe]) == 0
    (found,) = json.loads((folder / "scores/results.json").read_text())["results"][:1]
    assert found["evaluation"] == "averaged_probe"


@pytest.mark.parametrize(("masked", "align"), [("masked.yaml", "align.yaml"), ("omnimae.yaml", "ppma_align.yaml")])
def test_the_configs_of_both_stages_have_encoders_of_the_same_shapes(masked: str, align: str) -> None:
    with torch.device("meta"):
        first, second = (build_network(load_config(name, []).config).state_dict() for name in (masked, align))
    assert {name: tensor.shape for name, tensor in first.items()} == {n: tensor.shape for n, tensor in second.items()}


def test_the_learning_rate_is_continuous_where_the_warm_up_ends(tiny_config: Callable[..., Config]) -> None:
    """PPMA's fell by half there: 2e-3 to 1e-3 in its alignment, as its cosine was scaled twice."""
    config = load_config(
        "align.yaml", ["optimizer.base_lr=4e-3", "optimizer.nominal_batch=256", "batch_size=128"]
    ).config
    pace = Pace(config, ("supervised",), steps_per_epoch=100, total_steps=800)
    rates = torch.tensor([pace.learning_rate(step) for step in range(800)])
    assert rates.max() == pytest.approx(2e-3)
    peak = int(rates.argmax())
    assert peak == 100  # 12.5 %
    assert (rates.diff().abs() <= 2e-3 / 100).all()
    assert (rates[: peak + 1].diff() > 0).all()
    assert (rates[peak:].diff() < 0).all()
