from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

import main
from config.schema import Config
from data_utils.batches.opening import open_catalogs
from data_utils.batches.plan import Plan
from data_utils.batches.state_index import FORMATS

COUNTS = {"state": 5, "state+language": 5, "state+ok": 4, "quintet+language": 1}
OPTIONS = (
    "task=vicreg",
    "encoder=r2plus1d_18",
    "window={length: 2, sampling: states}",
    "num_epochs=2",
)


def options(tiny_config: Callable[..., Config], root: Path, folder: Path) -> list[str]:
    """A command line for the tiny dataset."""
    videos = tiny_config(root=root).dataset
    dataset = json.dumps(videos.model_dump() | {"annotations": {"caption": "captions"}})
    return ["quickstart", *OPTIONS, f"dataset={dataset}", "num_workers=0", "seed=3", "--dump-index", str(folder)]


@pytest.fixture(scope="module")
def index(tiny_dataset: Path, tiny_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    assert main.main(options(tiny_config, tiny_dataset, folder)) == 0
    return folder / "index"


def test_there_is_a_file_for_each_format_and_epoch_in_either_notation(index: Path) -> None:
    names = [f"{name}-batches" for name in ("train-epoch=0", "train-epoch=1", "validation")]
    files = {str(file.relative_to(index)) for file in index.rglob("*") if file.is_file()}
    assert files == {f"{kind}/{name}.{end}" for kind in FORMATS for name in names for end in ("json", "hdf5")}
    for kind, count in COUNTS.items():
        for name, videos in zip(names, (24, 24, 12), strict=True):
            records = json.loads((index / kind / f"{name}.json").read_text())
            assert len(records) == count * videos
            with h5py.File(index / kind / f"{name}.hdf5") as hdf5:
                assert hdf5["states"].shape == (count * videos, FORMATS[kind][0])
                assert [text.decode() for text in hdf5["vid"]] == [record["vid"] for record in records]
                assert hdf5["frames"][:].tolist() == [record["frames"] for record in records]
                assert hdf5["n_frames"][:].tolist() == [record["n_frames"] for record in records]
                states = [[text.decode() for text in row] for row in hdf5["states"]]
                assert states == [record["states"] for record in records]


def test_it_says_what_training_takes(
    index: Path, tiny_dataset: Path, tiny_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny_config(*OPTIONS, "dataset.annotations={caption: captions}", root=tiny_dataset)
    train = open_catalogs(config, config.groups, tmp_path / "bad.csv")["train"]
    for length, kind in ((1, "state"), (2, "state+ok"), (5, "quintet+language")):
        at_length = tiny_config(*OPTIONS, f"window.length={length}", root=tiny_dataset)
        plan = Plan(train, at_length, 8, seed=3, training=True)
        for epoch in (0, 1):
            taken = sorted((w.path, w.frames.tolist()) for batch in plan.batches(epoch, 0) for w in batch)
            records = json.loads((index / kind / f"train-epoch={epoch}-batches.json").read_text())
            assert taken == sorted((f"{tiny_dataset}/{record['vid']}", record["frames"]) for record in records)


def test_records_name_frames_and_captions(index: Path) -> None:
    records = json.loads((index / "state+ok" / "train-epoch=1-batches.json").read_text())
    record = records[0]
    assert record["states"] == [f"train/00000.mp4#frame={frame}" for frame in record["frames"]]
    assert record["language"].startswith("a ")
    assert "language" not in json.loads((index / "state" / "validation-batches.json").read_text())[0]


def test_an_index_is_not_overwritten_and_needs_states(
    index: Path,
    tiny_dataset: Path,
    tiny_config: Callable[..., Config],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert main.main(options(tiny_config, tiny_dataset, index.parent)) == 2
    assert "index exists already; remove it or choose another folder" in capsys.readouterr().err
    given = options(tiny_config, tiny_dataset, tmp_path)
    assert main.main([*given, "window={length: 8, sampling: dense}"]) == 2
    assert "error: --dump-index writes the frames of window.sampling=states; set that" in capsys.readouterr().err
    assert main.main(given[:-1]) == 2
    assert "error: --dump-index: a folder for the index must follow" in capsys.readouterr().err
