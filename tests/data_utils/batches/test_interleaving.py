"""Batches of several datasets: one dataset each, in an order that does not depend on where a run was stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import torch

from config.datasets import data_by_dataset
from config.errors import InputError
from config.schema import Config
from data_utils.batches.further import BadVideosOfAll
from data_utils.batches.interleaving import InterleavedLoader, interleaved
from data_utils.batches.opening import open_bad_videos
from data_utils.catalog.catalog import Catalog
from runs.further_datasets import train_of_all
from tasks import build_task
from tests.fake_training import run
from train import Trainer, training_loader

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")


def further(root: Path, repeat: float = 1.0, **more: str) -> str:
    videos = "{train: 24, val: 12, test: 12}"
    data = f'{{dataset: {{name: moving_digits, root: "{root}", videos: {videos}, seed: 0, difficulty: easy}}}}'
    return f"{{data: {data}, repeat: {repeat}{''.join(f', {key}: {value}' for key, value in more.items())}}}"


@pytest.fixture
def opened(
    tiny_dataset: Path, tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> Callable[..., tuple[Config, Catalog]]:
    """Makes a config with a further dataset, and the training videos of both."""

    def open_both(repeat: float, *overrides: str, **more: str) -> tuple[Config, Catalog]:
        config = tiny_config(
            "task=supervised",
            f"datasets={{other: {further(tiny_dataset, repeat, **more)}}}",
            *overrides,
            root=tiny_dataset,
        )
        return config, train_of_all(tiny_catalogs["train"], config, tmp_path / "bad_videos.csv")

    return open_both


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert interleaved([3, 2], 0, 0).tolist() == interleaved([3, 2], 0, 0).tolist()
    assert Counter(interleaved([30, 20], 0, 0).tolist()) == {0: 30, 1: 20}
    assert interleaved([30, 20], 0, 0).tolist() != interleaved([30, 20], 0, 1).tolist()
    assert interleaved([30, 20], 0, 0).tolist() != interleaved([30, 20], 1, 0).tolist()


def test_batches_are_of_one_dataset_and_repeats_hold(opened: Callable[..., tuple[Config, Catalog]]) -> None:
    config, train = opened(1.5)
    task = build_task(config, train)
    with closing(training_loader(task, train, config)) as loader:
        assert isinstance(loader, InterleavedLoader)
        assert len(loader) == 3 + 4  # 24 videos in batches of 8, once and one and a half times
        seen: dict[str, list[int]] = {"": [], "other": []}
        for epoch in range(2):
            for number, batch in enumerate(loader.epoch(epoch)):
                assert batch.number == number
                low, high = (0, 24) if batch.dataset == "" else (24, 48)
                assert ((batch.row_B >= low) & (batch.row_B < high)).all()
                seen[batch.dataset] += batch.row_B.tolist()
    assert Counter(seen[""]) == dict.fromkeys(range(24), 2)
    counts = Counter(seen["other"])  # 8 batches: two passes of three, and two thirds of a third one
    assert sorted(counts) == list(range(24, 48))
    assert sorted(counts.values()) == [2] * 8 + [3] * 16


def test_an_epoch_goes_on_exactly_where_it_was_stopped(opened: Callable[..., tuple[Config, Catalog]]) -> None:
    config, train = opened(1.5)
    task = build_task(config, train)
    with closing(training_loader(task, train, config)) as loader:
        whole = list(loader.epoch(1))
        for first in (1, 4, 6):
            rest = list(loader.epoch(1, first))
            assert len(rest) == len(whole) - first
            for one, other in zip(rest, whole[first:], strict=True):
                assert (one.dataset, one.number, one.pass_number) == (other.dataset, other.number, other.pass_number)
                assert torch.equal(one.row_B, other.row_B)
                assert torch.equal(one.video_BTCHW, other.video_BTCHW)


def test_a_training_on_two_datasets_resumes_inside_an_epoch(opened: Callable[..., tuple[Config, Catalog]]) -> None:
    config, train = opened(1.0, "supervised.augment=true")

    def trained(stops: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        task = build_task(config, train)
        with closing(training_loader(task, train, config)) as loader:
            trainer = Trainer(task, config, len(loader), CPU)
            if not stops:
                run(trainer, loader)
                return task.state_dict()
            run(trainer, loader, steps=2)
            again = build_task(config, train)
            again.load_state_dict(task.state_dict())
            other = Trainer(again, config, len(loader), CPU)
            other.load_state_dict(trainer.state_dict())
            run(other, loader, first_batch=2)
            return again.state_dict()

    whole, resumed = trained(False), trained(True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_what_cannot_be_read_is_listed_under_its_dataset(
    opened: Callable[..., tuple[Config, Catalog]], tmp_path: Path
) -> None:
    config, train = opened(1.0)
    listed = tmp_path / "bad_videos.csv"
    config = config.model_copy(update={"max_bad_videos": 0.2})
    own = open_bad_videos(config, {"train": train}, listed)
    bad = BadVideosOfAll(own, train, data_by_dataset(config), listed)
    bad.add([(3, "torn"), (24, "gone")])
    lines = listed.read_text().splitlines()
    assert lines[1].startswith("train,train/")
    assert ",torn," in lines[1]
    assert not lines[1].endswith(",other")
    assert ",gone,other" in lines[2]
    assert len(bad) == 2


def test_datasets_that_cannot_be_trained_on_are_told_in_one_line(tiny_config: MakeConfig, tmp_path: Path) -> None:
    def message(*overrides: str) -> str:
        with pytest.raises(InputError) as told:
            tiny_config(*overrides)
        return str(told.value)

    assert "has no key dataset" in message("datasets={b: {data: {window: {length: 6}}}}")
    unknown = f"{{dataset: {{name: catalog, root: '{tmp_path}'}}, num_epochs: 3}}"
    assert "num_epochs is not a key of data_config.yaml" in message(f"datasets={{b: {{data: {unknown}}}}}")
    assert "there is no dataset c" in message(f"datasets={{b: {further(tmp_path, labels_as='c')}}}")
    assert "is a circle" in message(
        f"datasets={{b: {further(tmp_path, labels_as='c')}, c: {further(tmp_path, labels_as='b')}}}"
    )
    assert "encoder takes 6 alone" in message(
        f"datasets={{b: {{data: {{dataset: {{name: catalog, root: '{tmp_path}'}}, window: {{length: 1}}}}}}}}"
    )


def test_a_further_dataset_that_is_not_there_is_named(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    config = tiny_config(f"datasets={{b: {{data: {{dataset: {{name: catalog, root: '{tmp_path / 'no'}'}}}}}}}}")
    with pytest.raises(InputError, match=r"datasets\.b: .*no is not a folder"):
        train_of_all(tiny_catalogs["train"], config, tmp_path / "bad_videos.csv")


def test_a_further_dataset_needs_no_test_split(tiny_dataset: Path, tiny_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text((tiny_dataset / "train.csv").read_text())
    config = tiny_config(
        f"datasets={{b: {{data: {{dataset: {{name: catalog, root: '{tiny_dataset}', catalog: '{tmp_path}'}}}}}}}}",
        root=tiny_dataset,
    )
    empty = Catalog("train", tiny_dataset, pd.read_csv(tiny_dataset / "train.csv").head(5), {}, 0)
    train = train_of_all(empty, config, tmp_path / "bad_videos.csv")
    assert len(train.further["b"].table) == 24
    assert train.first_rows == {"": 0, "b": len(empty.table)}
