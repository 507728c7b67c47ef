from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from config.errors import InputError
from config.load import load_config
from config.schema import Config
from data_utils.batches import opening
from data_utils.batches.loader import Loader
from data_utils.batches.opening import open_bad_videos, open_catalogs
from data_utils.batches.plan import Plan
from data_utils.catalog.dataset_card import FILE_NAME
from data_utils.prepare.embedded import make_missing
from data_utils.video_files import facts_cache

LEVELS = ("space", "time", "clip")


def listed(file: Path) -> str:
    """A list of bad videos without its last column, the dataset."""
    return "".join(line.rpartition(",")[0] + "\n" for line in file.read_text().splitlines())


MakeConfig = Callable[..., Config]


def test_tables_hold_facts_and_the_csvs_other_columns(
    small_dataset: Path, make_config: MakeConfig, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [("val/0.mp4", "odd", "9999", "anna"), ("val/1.mp4", "even", "", "berta")]
    write_csv(small_dataset / "val.csv", rows, ("path", "label", "frames", "group"))
    catalogs = open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
    assert list(catalogs) == ["train", "val", "test"]
    val = catalogs["val"]
    assert (val.split, val.root, val.listed) == ("val", small_dataset, 2)
    assert val.table.to_dict("list") == {
        "path": ["val/0.mp4", "val/1.mp4"],
        "frames": [12, 14],
        "height": [32, 32],
        "width": [48, 48],
        "fps": [25.0, 25.0],
        "label": ["odd", "even"],
        "group": ["anna", "berta"],
    }
    assert list(val.labels) == ["label"]
    assert val.labels["label"].classes == ["even", "odd"]
    assert val.labels["label"].values.tolist() == [[1], [0]]
    assert listed(tmp_path / "bad.csv") == "split,path,reason\n"


def test_a_second_start_decodes_nothing(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
    monkeypatch.setattr(facts_cache, "verify_videos", None)
    second = open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
    for split in first:
        pd.testing.assert_frame_equal(first[split].table, second[split].table)


def test_catalogs_may_lie_elsewhere_and_name_their_columns(
    small_dataset: Path, make_config: MakeConfig, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "lists"
    for split, number in (("train", 5), ("val", 1), ("test", 1)):
        write_csv(folder / f"{split}.csv", [(f"{split}/{number}.mp4", "a|b", "c")], ("path", "motion", "digit"))
        (small_dataset / f"{split}.csv").unlink()
    dataset = f'{{name: catalog, root: "{small_dataset}", catalog: "{folder}", '
    labels = "labels: {space: digit, time: motion, clip: motion}}"
    catalogs = open_catalogs(make_config(small_dataset, f"dataset={dataset}{labels}"), LEVELS, tmp_path / "bad.csv")
    assert list(catalogs["train"].labels) == ["motion", "digit"]
    assert catalogs["train"].labels["motion"].values.tolist() == [[0, 1]]
    assert (folder / facts_cache.FILE_NAME).exists()


def test_bad_videos_are_listed_and_left_out(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (small_dataset / "train/1.mp4").write_bytes(b"")
    (small_dataset / "val/0.mp4").unlink()
    catalogs = open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
    assert catalogs["train"].table["path"].tolist() == [f"train/{index}.mp4" for index in (0, 2, 3, 4, 5)]
    assert catalogs["train"].labels["label"].values[:, 0].tolist() == [0, 0, 1, 0, 1]
    assert catalogs["train"].listed == 6
    rows = "train,train/1.mp4,empty file\nval,val/0.mp4,no such file or directory\n"
    assert listed(tmp_path / "bad.csv") == f"split,path,reason\n{rows}"
    assert "cannot be read and left out: 2 videos, the first: " in caplog.text

    shutil.copy(small_dataset / "test/0.mp4", small_dataset / "train/1.mp4")
    assert len(open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")["train"].table) == 6
    assert (tmp_path / "bad.csv").read_text().count("\n") == 2


def test_too_many_bad_videos_end_the_run(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    (small_dataset / "train/1.mp4").write_bytes(b"")
    config = make_config(small_dataset, max_bad_videos=0.09)
    with pytest.raises(InputError, match=r"1 of 10 videos cannot be read.*empty file.*bad\.csv lists them"):
        open_catalogs(config, config.groups, tmp_path / "bad.csv")
    assert "train/1.mp4,empty file" in (tmp_path / "bad.csv").read_text()
    config = make_config(small_dataset, max_bad_videos=0.1)
    assert len(open_catalogs(config, config.groups, tmp_path / "bad.csv")["train"].table) == 5


def test_a_split_without_a_readable_video(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    for index in range(2):
        (small_dataset / f"val/{index}.mp4").unlink()
    with pytest.raises(InputError, match="no video of the split val can be read; the first reason: no such file"):
        open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")


def test_short_videos_are_counted_and_skipped_or_kept(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    window = "window={length: 4, frequency: 4, step: null, max_seq_per_video: 1, eval_windows: 1}"  # span 13
    config = make_config(small_dataset, window)
    with caplog.at_level(logging.INFO):
        catalogs = open_catalogs(config, config.groups, tmp_path / "bad.csv")
    assert catalogs["train"].table["frames"].tolist() == [14, 16, 18, 20, 22]
    assert catalogs["train"].labels["label"].values[:, 0].tolist() == [1, 0, 1, 0, 1]
    assert "train: 1 of 6 videos are shorter than the window's 13 frames (short_videos: skip)" in caplog.text
    for kept in ("loop", "pad"):
        catalogs = open_catalogs(
            make_config(small_dataset, window, f"short_videos={kept}"), LEVELS, tmp_path / "bad.csv"
        )
        assert len(catalogs["train"].table) == 6
        assert f"(short_videos: {kept})" in caplog.text


def test_a_window_longer_than_every_video(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    window = "window={length: 4, frequency: 5, step: null, max_seq_per_video: 1, eval_windows: 1}"
    message = "needs 16 frames, the longest video of the split val has 14"
    with pytest.raises(InputError, match=message):
        open_catalogs(make_config(small_dataset, window), LEVELS, tmp_path / "bad.csv")


def test_long_videos_bring_their_seek_points(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    options = {"preset": "veryfast", "x264-params": "keyint=260:scenecut=0"}
    write_video(small_dataset / "train/3.mp4", 300, options=options)
    catalogs = open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
    assert {path: [point.number for point in points] for path, points in catalogs["train"].seek_points.items()} == {
        "train/3.mp4": [260]
    }


def test_failures_of_a_loader_as_rows_of_the_list(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    catalog = open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")["train"]
    assert catalog.failures([(3, "gone")]) == [("train", "train/3.mp4", "gone")]


def test_the_embedded_data(tmp_path: Path) -> None:
    dataset = f'{{name: moving_digits, root: "{tmp_path / "digits"}", videos: {{train: 4, val: 2, test: 2}}, seed: 0}}'
    config = load_config("quickstart.yaml", [f"dataset={dataset}", "num_workers=1"]).config
    make_missing(config.dataset)
    catalogs = open_catalogs(config, config.groups, tmp_path / "bad.csv")
    assert [len(catalog.table) for catalog in catalogs.values()] == [4, 2, 2]
    assert list(catalogs["val"].labels) == ["program", "motion", "digit"]
    assert [labels.values.shape for labels in catalogs["val"].labels.values()] == [(2, 1), (2, 2), (2, 1)]


def test_the_embedded_data_of_the_other_difficulty(tmp_path: Path) -> None:
    dataset = f'{{name: moving_digits, root: "{tmp_path / "digits"}", videos: {{train: 4, val: 2, test: 2}}, seed: 0}}'
    overrides = [f"dataset={dataset}", "num_workers=1"]
    hard = load_config("quickstart.yaml", [*overrides, "dataset.difficulty=hard"]).config
    make_missing(hard.dataset)
    assert list(open_catalogs(hard, LEVELS, tmp_path / "bad.csv")["val"].labels) == ["program", "motion", "digit"]
    assert json.loads((tmp_path / "digits" / "dataset.json").read_text())["difficulty"] == "hard"
    with pytest.raises(InputError, match=r"'difficulty': 'hard'.*set dataset.root to another folder"):
        make_missing(load_config("quickstart.yaml", overrides).config.dataset)


def test_real_lips(real_files: Path, make_config: MakeConfig, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    table = pd.read_csv(real_files / "lips_phrases/labels.csv").iloc[::50]
    for index, split in enumerate(("train", "val", "test")):
        rows = table.iloc[index::3][["path", "label"]].to_numpy().tolist()
        write_csv(tmp_path / f"{split}.csv", rows)
    dataset = f'dataset={{name: catalog, root: "{real_files / "lips_phrases"}", catalog: "{tmp_path}"}}'
    catalogs = open_catalogs(make_config(tmp_path, dataset, "short_videos=pad"), LEVELS, tmp_path / "bad.csv")
    frames = {path: count for c in catalogs.values() for path, count in zip(c.table.path, c.table.frames, strict=True)}
    assert frames == dict(zip(table.path, table.frames, strict=True))


# --------------------------------------------------------------------------------------------------- prepared datasets


HEADER = ("path", "label", "frames", "height", "width", "fps", "stored")


@pytest.fixture
def prepared(tmp_path: Path, write_csv: Callable[..., Path]) -> Path:
    """Catalogs as prepare.py writes them, with shards that hold nothing: 6 videos in train, 2 in val, 2 in test."""
    root = tmp_path / "prepared"
    for number, (split, count) in enumerate({"train": 6, "val": 2, "test": 2}.items()):
        shard = root / f"shards/0000{number}.h5"
        shard.parent.mkdir(parents=True, exist_ok=True)
        shard.touch()
        rows = [
            (f"{split}/{row}.avi", "ab"[row % 2], str(20 - row), "32", "48", "25.0", f"shards/{shard.name}#{row}")
            for row in range(count)
        ]
        write_csv(root / f"{split}.csv", rows, HEADER)
    write_card(root, "packed")
    return root


def write_card(root: Path, stored_as: str) -> None:
    card = {"name": "any", "format": stored_as, "size": 32, "mean": [0.4] * 3, "std": [0.2] * 3, "flip": 0.5}
    (root / FILE_NAME).write_text(json.dumps(card))


@pytest.mark.parametrize("stored_as", ["packed", "hdf5"])
def test_a_prepared_dataset_is_taken_at_its_word(
    prepared: Path, stored_as: str, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_card(prepared, stored_as)
    monkeypatch.setattr(opening, "verified_videos", None)  # nothing is decoded, nor looked at one by one
    catalogs = open_catalogs(make_config(prepared), LEVELS, tmp_path / "bad.csv")
    assert {opened.format for opened in catalogs.values()} == {stored_as}
    train = catalogs["train"]
    assert train.table["frames"].tolist() == [20, 19, 18, 17, 16, 15]
    assert train.table["path"].tolist() == [f"train/{row}.avi" for row in range(6)]
    assert train.stored.tolist() == [f"shards/00000.h5#{row}" for row in range(6)]
    assert train.labels["label"].values[:, 0].tolist() == [0, 1] * 3
    assert (train.listed, train.seek_points) == (6, {})
    assert listed(tmp_path / "bad.csv") == "split,path,reason\n"
    window = next(Plan(train, make_config(prepared), 4, 0, training=False).batches(0, 0))[2]
    assert (window.row, window.path) == (1, str(prepared / "shards/00000.h5#1"))


def test_a_prepared_datasets_short_videos_are_left_out(
    prepared: Path, make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    window = "window={length: 4, frequency: 5, step: null, max_seq_per_video: 1, eval_windows: 1}"  # span 16
    catalogs = open_catalogs(make_config(prepared, window), LEVELS, tmp_path / "bad.csv")
    assert catalogs["train"].table["frames"].tolist() == [20, 19, 18, 17, 16]
    assert "train: 1 of 6 videos are shorter than the window's 16 frames" in caplog.text


def test_a_prepared_video_without_a_frame_rate_is_bad_where_it_is_needed(
    prepared: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    file = prepared / "train.csv"
    file.write_text(file.read_text().replace("19,32,48,25.0", "19,32,48,0"))
    window = "window={length: 4, frequency: 2, frequency_fps: 12.5, step: null, max_seq_per_video: 1, eval_windows: 1}"
    catalogs = open_catalogs(make_config(prepared, window), LEVELS, tmp_path / "bad.csv")
    assert catalogs["train"].stored.tolist() == [f"shards/00000.h5#{row}" for row in (0, 2, 3, 4, 5)]
    assert catalogs["train"].labels["label"].values[:, 0].tolist() == [0, 0, 1, 0, 1]
    assert 'train,train/1.avi,"its frame rate is not known' in (tmp_path / "bad.csv").read_text()
    assert len(open_catalogs(make_config(prepared), LEVELS, tmp_path / "bad.csv")["train"].table) == 6


def test_what_is_wrong_with_a_prepared_dataset_is_told(
    prepared: Path, make_config: MakeConfig, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    rows = [("val/0.avi", "a", "9", "32", "48", "25.0", "shards/00001.h5#0"), ("b", "a", "x", "1", "1", "1", "s#0")]
    write_csv(prepared / "val.csv", rows, HEADER)
    with pytest.raises(InputError, match=r"val\.csv, line 3: 'x' in column 'frames' is not a whole number"):
        open_catalogs(make_config(prepared), LEVELS, tmp_path / "bad.csv")
    write_csv(prepared / "val.csv", [row[:-1] for row in rows[:1]], HEADER[:-1])
    with pytest.raises(InputError, match=r"val\.csv has no column 'stored'"):
        open_catalogs(make_config(prepared), LEVELS, tmp_path / "bad.csv")
    write_csv(prepared / "val.csv", rows[:1], HEADER)
    (prepared / "shards/00002.h5").unlink()
    with pytest.raises(InputError, match=r"shards/00002\.h5 is missing; run prepare\.py again"):
        open_catalogs(make_config(prepared), LEVELS, tmp_path / "bad.csv")
    (prepared / FILE_NAME).write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json does not describe a dataset"):
        open_catalogs(make_config(prepared), LEVELS, tmp_path / "bad.csv")
    (prepared / FILE_NAME).unlink()
    with pytest.raises(InputError, match=r"dataset\.json is missing; run prepare\.py again"):
        open_catalogs(make_config(prepared), LEVELS, tmp_path / "bad.csv")


def test_catalogs_of_a_prepared_dataset_may_lie_elsewhere(
    prepared: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    for name in ("train.csv", "val.csv", "test.csv", FILE_NAME):
        (prepared / name).rename(folder / name)
    dataset = f'dataset={{name: catalog, root: "{prepared}", catalog: "{folder}"}}'
    assert open_catalogs(make_config(prepared, dataset), LEVELS, tmp_path / "bad.csv")["val"].format == "packed"


def test_a_prepared_dataset_imports_no_generator_and_no_prepare(
    prepared: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    """Imports of what is not needed would take seconds."""
    program = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from config.load import load_config\n"
        "from data_utils.batches.opening import open_catalogs\n"
        "config = load_config('quickstart.yaml', json.loads(sys.argv[1])).config\n"
        "assert open_catalogs(config, config.groups, Path(sys.argv[2]))['train'].format == 'packed'\n"
        "heavy = ('sklearn', 'skimage', 'umap', 'decord', 'joblib')\n"
        "prepare = 'data_utils.prepare.'\n"
        "print([name for name in sys.modules if name.split('.')[0] in heavy or name.startswith(prepare)])\n"
    )
    overrides = [f'dataset={{name: catalog, root: "{prepared}"}}', "short_videos=pad"]
    command = [sys.executable, "-c", program, json.dumps(overrides), str(tmp_path / "bad.csv")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(opening.__file__).parents[2], check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("with_card", [True, False])
def test_re_encoded_videos_are_verified_where_they_are_stored(
    with_card: bool,
    small_dataset: Path,
    make_config: MakeConfig,
    tmp_path: Path,
    write_csv: Callable[..., Path],
    write_video: Callable[..., Path],
) -> None:
    (small_dataset / "train").rename(small_dataset / "videos")
    options = {"preset": "veryfast", "x264-params": "keyint=260:scenecut=0"}
    write_video(small_dataset / "videos/4.mp4", 300, options=options)
    (small_dataset / "videos/5.mp4").write_bytes(b"")
    rows = [(f"raw {row}.avi", "odd", "7", "7", "7", "7", f"videos/{row}.mp4") for row in range(6)]
    write_csv(small_dataset / "train.csv", rows, HEADER)
    if with_card:
        write_card(small_dataset, "video")
    train = open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")["train"]
    assert train.format == "video"
    assert train.table["path"].tolist() == [f"raw {row}.avi" for row in range(5)]
    assert train.table["frames"].tolist() == [12, 14, 16, 18, 300]  # as decoded, whatever the CSV says
    assert train.stored.tolist() == [f"videos/{row}.mp4" for row in range(5)]
    assert listed(tmp_path / "bad.csv") == "split,path,reason\ntrain,raw 5.avi,empty file\n"
    # The reader asks for them by what it reads.
    assert {place: [point.number for point in points] for place, points in train.seek_points.items()} == {
        "videos/4.mp4": [260]
    }


# ------------------------------------------------------------------------------------------------- odd names and places


def test_names_may_be_odd_and_links_may_lead_elsewhere(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    names = ['it\'s "1", ü 日本.mp4', " space .mp4", "new\nline.mp4", "..mp4", "~.mp4", "-.mp4"]
    for number, name in enumerate(names):
        (small_dataset / f"train/{number}.mp4").rename(small_dataset / f"train/{name}")
    outside = tmp_path / "elsewhere"
    (small_dataset / "train").rename(outside)
    (small_dataset / "train").symlink_to(outside)
    write_csv(small_dataset / "train.csv", [(f"train/{name}", "odd") for name in names])
    catalogs = open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
    assert catalogs["train"].table["path"].tolist() == [f"train/{name}" for name in names]
    config = make_config(small_dataset)
    batches = list(Loader(catalogs["train"], config, config.batch_size, config.seed, training=False).epoch(0))
    assert [batch.failed for batch in batches] == [[]] * len(batches)
    assert torch.cat([batch.row_B for batch in batches]).unique().tolist() == [0, 1, 2, 3, 4, 5]


def test_a_folder_of_videos_without_rights_is_listed(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, bound_by_rights: None
) -> None:
    (small_dataset / "train/1.mp4").chmod(0)
    (small_dataset / "closed").mkdir()
    (small_dataset / "val/0.mp4").rename(small_dataset / "closed/0.mp4")
    (small_dataset / "closed").chmod(0)
    file = small_dataset / "val.csv"
    file.write_text(file.read_text().replace("val/0", "closed/0"))
    catalogs = open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
    assert [len(opened.table) for opened in catalogs.values()] == [5, 1, 2]
    rows = "train,train/1.mp4,permission denied\nval,closed/0.mp4,permission denied\n"
    assert listed(tmp_path / "bad.csv") == f"split,path,reason\n{rows}"


def test_a_name_that_no_file_can_have_is_listed(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    write_csv(small_dataset / "val.csv", [("val/0.mp4", "odd"), (f"val/{'x' * 5000}.mp4", "odd")])
    assert len(open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")["val"].table) == 1
    assert listed(tmp_path / "bad.csv").endswith("x.mp4,file name too long\n")


def test_several_datasets_of_one_run_share_nothing_but_the_list_of_bad_videos(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(small_dataset, other)
    for split in ("train", "val", "test"):
        rows = [(path, "x;y") for path in pd.read_csv(other / f"{split}.csv")["path"]]
        write_csv(other / f"{split}.csv", rows, ("path", "acts"))
    (small_dataset / "train/1.mp4").write_bytes(b"")
    (other / "val/0.mp4").write_bytes(b"")
    bad = tmp_path / "bad.csv"
    column = "{column: acts, kind: multi}"
    labels = f"{{space: {column}, time: {column}, clip: {column}}}"
    first, second = make_config(small_dataset), make_config(other, f"dataset.labels={labels}")
    own, others = open_catalogs(first, LEVELS, bad), open_catalogs(second, LEVELS, bad, name="other data")
    assert [len(catalog.table) for catalog in (*own.values(), *others.values())] == [5, 2, 2, 6, 1, 2]
    assert own["train"].own_labels(LEVELS) == dict.fromkeys(LEVELS, "label")
    assert others["val"].own_labels(LEVELS) == {}
    assert others["val"].labels == {}
    assert others["val"].judged_by == dict.fromkeys(LEVELS, "acts")
    assert [others[split].annotations["acts"].text(0) for split in others] == ["x;y"] * 3
    assert bad.read_text().splitlines() == [
        "split,path,reason,dataset",
        f"train,train/1.mp4,empty file,{small_dataset}",
        "val,val/0.mp4,empty file,other data",
    ]
    open_bad_videos(second, others, bad, "other data").add([("test", "test/1.mp4", "damaged")])
    assert len(open_bad_videos(first, own, bad)) == 1
    shutil.copy(small_dataset / "train/0.mp4", small_dataset / "train/1.mp4")
    open_catalogs(first, LEVELS, bad)
    assert [line.split(",")[-1] for line in bad.read_text().splitlines()] == ["dataset", "other data", "other data"]


@pytest.mark.parametrize("said", ["null", "{}"])
def test_videos_without_labels(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, write_csv: Callable[..., Path], said: str
) -> None:
    if said == "null":
        for split in ("train", "val", "test"):
            write_csv(small_dataset / f"{split}.csv", [(f"{split}/0.mp4", "x")], ("path", "who"))
    for catalog in open_catalogs(make_config(small_dataset, f"dataset.labels={said}"), LEVELS, tmp_path / "b").values():
        assert (catalog.labels, catalog.own_labels(LEVELS), catalog.annotations) == ({}, {}, {})
        assert len(catalog.sample(1, seed=0).table) == 1


def test_a_folder_of_the_embedded_data_is_a_catalog_like_any_other(
    tiny_dataset: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    catalogs = open_catalogs(make_config(tiny_dataset), LEVELS, tmp_path / "bad.csv")
    assert catalogs["test"].own_labels(LEVELS) == {"space": "digit", "time": "motion", "clip": "program"}
    assert open_catalogs(make_config(tiny_dataset), LEVELS[:2], tmp_path / "bad.csv")["val"].own_labels(LEVELS) == {
        "space": "digit",
        "time": "program",
    }


def test_prepared_videos_without_val_csv(prepared: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    (prepared / "val.csv").unlink()
    catalogs = open_catalogs(make_config(prepared), LEVELS, tmp_path / "bad.csv")
    assert {split: len(catalog.table) for split, catalog in catalogs.items()}["val"] == 2
    frames = pd.concat([catalogs["train"].table, catalogs["val"].table]).set_index("path")["frames"].to_dict()
    assert frames == {f"train/{row}.avi": 20 - row for row in range(6)}
