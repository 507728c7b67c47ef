"""python visualization.py on a run that has ended, an interrupted one, and one of which only its encoder is left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import main as main_module
from figures.command import main
from runs.epoch_features import kept_keys, read_kept
from runs.folder import RunFolder
from tests.conftest import TINY, TINY_VIDEOS
from tests.pictures import pixels


@pytest.fixture(scope="module")
def shared(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of the runs of these tests."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(TINY)
    videos = ", ".join(f"{split}: {count}" for split, count in TINY_VIDEOS.items())
    dataset = f'dataset={{name: moving_digits, root: "{tiny_dataset}", videos: {{{videos}}}, seed: 0}}'
    return [str(folder / "small.yaml"), dataset, f"save_path={folder}", "num_epochs=2", "val_interval=1"]


@pytest.fixture(scope="module")
def run(shared: list[str]) -> RunFolder:
    assert main_module.main([*shared, "model_name=drawn", "figures=[pca]"]) == 0
    return RunFolder(Path(shared[0]).parent / "drawn")


@pytest.fixture
def copied(run: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(run.root, tmp_path / "copied"))


def drawn(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_keeps_features_of_the_same_videos_at_each_validation_and_draws_them(run: RunFolder) -> None:
    assert kept_keys(run.epoch_features) == [(0, 0), (0, 1), (0, 2)]
    kept = read_kept(run.epoch_features)
    assert [each.step for each in kept] == [0, 3, 6]
    assert kept[0].paths == kept[2].paths
    assert kept[0].features[2]["time"].shape[:2] == (12, 2)
    assert not np.allclose(kept[0].features[1]["clip"], kept[2].features[1]["clip"])
    assert (run.figures / "epochs.png").is_file()
    assert json.loads(run.summary.read_text())["failed_figures"] == {}


def test_a_finished_run_gets_all_its_figures_again(run: RunFolder, tmp_path: Path) -> None:
    assert main([str(run.root), "--out", str(tmp_path / "new"), "--format", "svg"]) == 0
    of_run = {path.stem for path in run.figures.glob("*.png")}
    assert {path.name for path in (tmp_path / "new").glob("*.svg")} == {f"{name}.svg" for name in of_run}
    assert "kNN" in (tmp_path / "new" / "pca.svg").read_text() or "<path" in (tmp_path / "new" / "pca.svg").read_text()
    (tmp_path / "again").mkdir()
    assert main([str(run.root), "--out", str(tmp_path / "again"), "--method", "pca", "--format", "svg"]) == 0
    assert (tmp_path / "again" / "pca.svg").read_bytes() == (tmp_path / "new" / "pca.svg").read_bytes()


def test_embeddings_are_chosen_by_method_level_and_labels(run: RunFolder, tmp_path: Path) -> None:
    given = ["--method", "pca", "tsne", "--level", "clip", "--color-by", "program", "--out", str(tmp_path)]
    assert main([str(run.root), *given]) == 0
    assert drawn(tmp_path) == {"pca-clip-program.png", "tsne-clip-program.png"}
    one = pixels(tmp_path / "pca-clip-program.png").shape
    assert one[0] > 220 * 3  # 220 to the inch
    assert main([str(run.root), "--method", "pca", "--color-by", "none", "--out", str(tmp_path)]) == 0
    assert "pca-none.png" in drawn(tmp_path)


def test_epochs_and_grids_are_drawn(run: RunFolder, tmp_path: Path) -> None:
    given = ["--method", "tsne", "--epochs", "0", "2", "--grid", "perplexity=2,3", "--level", "time", "clip"]
    assert main([str(run.root), *given, "--out", str(tmp_path), "--format", "pdf"]) == 0
    assert drawn(tmp_path) == {"tsne-epochs-time-clip.pdf", "tsne-grid-time-motion.pdf", "tsne-grid-clip-program.pdf"}
    assert main([str(run.root), "--method", "pca", "--epochs", "all", "--out", str(tmp_path)]) == 0
    assert "pca-epochs.png" in drawn(tmp_path)


def test_an_interrupted_run_is_drawn_as_far_as_it_came(
    copied: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copied.summary.unlink()
    for path in copied.checkpoints.glob("encoder.*"):
        path.unlink()
    before = {path: path.read_bytes() for path in copied.root.rglob("*") if path.is_file()}
    with caplog.at_level("WARNING"):
        assert main([str(copied.root), "--out", str(tmp_path / "out")]) == 0
    assert "has not ended: these are its weights of step" in caplog.text
    assert {"pca.png", "windows.png", "loss.png", "epochs.png"} <= drawn(tmp_path / "out")
    assert {path: path.read_bytes() for path in copied.root.rglob("*") if path.is_file()} == before


def test_what_cannot_be_drawn_without_checkpoints_is_said_and_the_rest_is_drawn(
    copied: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (copied.best, copied.last, copied.metrics):
        path.unlink()
    with caplog.at_level("WARNING"):
        assert main([str(copied.root), "--out", str(tmp_path / "out")]) == 1
    assert "figure windows.png could not be drawn: InputError: it needs" in caplog.text
    assert "pca.png" in drawn(tmp_path / "out")
    assert main([str(copied.root), "--out", str(tmp_path / "out"), "--method", "pca", "--level", "space"]) == 0


def test_main_draws_the_run_that_a_config_names(
    shared: list[str], run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["model_name=drawn", "--visualize", "--method", "pca", "--out", str(tmp_path)]
    assert main_module.main([*shared, *given]) == 0
    assert drawn(tmp_path) == {"pca.png"}
    assert main_module.main([*shared, "model_name=absent", "--visualize"]) == 2
    assert "--visualize: there is no run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--level", "scene"], "--level scene: "),
        (["--color-by", "progam"], "--color-by progam: did you mean program?"),
        (["--color-by", "group"], "--color-by group: moving_digits does not say the groups of its videos"),
        (["--epochs", "7"], "--epochs 7: kept are 0, 1, 2"),
        (["--set", "figure_video=3"], "figure_video"),
        (["--out", "/proc/none"], "cannot write to /proc/none: "),
    ],
)
def test_bad_input_is_one_line(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([str(run.root), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_or_without_features_is_one_line(
    copied: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    shutil.rmtree(copied.epoch_features)
    for given, message in (
        ([str(tmp_path / "empty")], "has no checkpoint that could be drawn"),
        ([str(copied.root), "--epochs"], "has not kept the features of its validations: figure_epochs was 0"),
    ):
        assert main(given) == 2
        assert message in capsys.readouterr().err
