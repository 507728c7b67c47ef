"""The command line of visualization.py: what it asks for, and one line for each of what it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config.command_line import read_command_line, split_visualize
from config.errors import InputError
from figures.request import GRID, read_draw_request

ROOT = Path(__file__).parents[2]


def test_without_options_everything_is_drawn(tmp_path: Path) -> None:
    request = read_draw_request([str(tmp_path)])
    assert request.everything
    assert (request.run, request.kind, request.out, request.changes) == (tmp_path, "png", None, {})
    assert read_draw_request([str(tmp_path), "--format", "pdf", "--out", "x", "--set", "seed=3"]).everything


def test_options_choose(tmp_path: Path) -> None:
    given = "--method umap tsne --level clip --colour-by program group --epochs 3 0 3 --grid perplexity=5,30.5,5"
    request = read_draw_request([str(tmp_path), *given.split()])
    assert not request.everything
    assert request.methods == ["umap", "tsne"]
    assert (request.levels, request.colour_by) == (["clip"], ["program", "group"])
    assert request.epochs == [0, 3]
    assert request.grid == {"perplexity": [5, 30.5]}
    assert read_draw_request([str(tmp_path), "--epochs", "all"]).epochs == "all"
    assert read_draw_request([str(tmp_path), "--epochs"]).epochs == "spread"
    assert read_draw_request([str(tmp_path), "--grid"]).grid == GRID
    assert read_draw_request([str(tmp_path), "--grid", "--method", "tsne"]).grid == {"perplexity": GRID["perplexity"]}
    assert read_draw_request([str(tmp_path), "--grid", "n_neighbors=5"]).grid == {"neighbours": [5]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "umpa"], "--method umpa: did you mean umap?"),
        (["--format", "jpg"], "--format jpg: did you mean png?"),
        (["--epochs", "first"], "--epochs first: all, or numbers of epochs, such as 0 1 5"),
        (["--epochs", "all", "3"], "--epochs all: all, or numbers"),
        (["--epochs", "-1"], "--epochs -1: all, or numbers"),
        (["--grid", "perplexty=5"], "--grid perplexty=5: did you mean perplexity?"),
        (["--grid", "perplexity"], "--grid perplexity: numbers with commas between them, such as perplexity=5,30"),
        (["--grid", "perplexity=nan"], "--grid perplexity=nan: perplexity takes numbers from 1 to 1,000,000"),
        (["--grid", "neighbours=2.5"], "neighbours takes whole numbers from 2 to 1,000,000"),
        (["--grid", "min_dist=1"], "min_dist takes numbers from 0 to 0.99"),
        (["--grid", "perplexity=5", "perplexity=6"], "perplexity is given twice"),
        (["--grid", "perplexity=5", "--method", "umap"], "only tsne has it, and --method is umap"),
        (["--grid", "--method", "pca"], "--grid: pca has no parameters; draw it with --method tsne or umap"),
        (["--grid", "perplexity=" + ",".join(map(str, range(1, 103)))], "more than 100 panels"),
        (["--set", "seed"], "seed"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        read_draw_request([str(tmp_path), *arguments])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_run_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for given, message in (
        ([str(tmp_path / "no")], "no does not exist; give the folder of a run"),
        ([str(tmp_path / "file")], "file is a file; give the folder of a run"),
        ([str(tmp_path), "--out", str(tmp_path / "file")], "is a file; give a folder"),
    ):
        with pytest.raises(InputError, match=message):
            read_draw_request(given)


def test_main_takes_the_options_behind_visualize() -> None:
    assert split_visualize(["a.yaml", "x=1"]) == (["a.yaml", "x=1"], None)
    assert split_visualize(["a.yaml", "--visualize"]) == (["a.yaml"], [])
    given = ["a.yaml", "x=1", "--visualize", "y=2", "--method", "pca", "--grid", "perplexity=5"]
    assert split_visualize(given) == (["a.yaml", "x=1", "y=2"], ["--method", "pca", "--grid", "perplexity=5"])
    loaded = read_command_line(["quickstart.yaml", "--visualize", "seed=3", "--method", "pca"])
    assert loaded is not None
    assert loaded.config.seed == 3


def test_help_and_typos_answer_without_torch(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['visualization.py', *sys.argv[1:]]; import runpy\n"
    code += "try: runpy.run_path('visualization.py', run_name='__main__')\n"
    code += "except SystemExit as end: print(end.code, 'torch' in sys.modules, 'numpy' in sys.modules)"
    for arguments, status in ((["--help"], "0"), ([str(tmp_path), "--method", "x"], "2")):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith(f"{status} False False\n")
        assert "Traceback" not in done.stderr
