"""python export.py: files that other programs read, compared with the encoder; a folder for the Hub."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import exporting.formats
from config.schema import Config
from export import main
from runs.checkpoint import save_encoder
from runs.process.seeds import seed_everything
from runs.results import Result, as_records
from tasks.encoder import build_hierarchy
from tasks.pretrained import load_encoder

ROOT = Path(__file__).parents[2]
LEVELS = ("space", "time", "clip")


@pytest.fixture(scope="module")
def run(tiny_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has an encoder and scores."""
    config = tiny_config()
    seed_everything(0)
    root = tmp_path_factory.mktemp("runs") / "small"
    (root / "checkpoints").mkdir(parents=True)
    save_encoder(build_hierarchy(config).state_dict(), {"config": config.model_dump(), "step": 7}, root / "checkpoints")
    result = Result("knn", "digits", "test", "clip", "a|b", "top1", 81.25, random_init=20.0, chance=10.0, interval=3.0)
    (root / "summary.json").write_text(json.dumps({"results": as_records([result]), "own_labels": {}}))
    return root


@pytest.fixture(scope="module")
def windows(run: Path) -> torch.Tensor:
    return torch.randint(0, 256, (3, 6, 3, 16, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def features(run: Path, windows: torch.Tensor) -> list[Any]:
    with torch.no_grad():
        found = load_encoder(run)(windows)
    return [found[level].numpy() for level in LEVELS]


def test_torch_reads_what_was_exported(
    run: Path, windows: torch.Tensor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    exported, script = tmp_path / "new" / "encoder.pt2", tmp_path / "encoder.pt"
    assert main([str(run), "--torch-export", str(exported), "--torchscript", str(script)]) == 0
    extra = {"description.json": ""}
    loaded = torch.export.load(exported, extra_files=extra).module()
    with torch.no_grad():
        for module in (loaded, torch.jit.load(str(script))):
            for found, expected in zip(module(windows), features(run, windows), strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-5)
    told = json.loads(extra["description.json"])
    assert json.loads(told["levels"]) == list(LEVELS)
    assert json.loads(told["frame_size"]) == [16, 24]
    assert sum("outputs for a batch of another size differ by" in message for message in caplog.messages) == 2


def test_onnx_runtime_reads_what_was_exported(run: Path, windows: torch.Tensor, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime, an optional package, is not installed")
    file = tmp_path / "encoder.onnx"
    assert main([str(run), "--onnx", str(file)]) == 0
    session = onnxruntime.InferenceSession(str(file))
    assert [output.name for output in session.get_outputs()] == list(LEVELS)
    for found, expected in zip(session.run(None, {"video": windows.numpy()}), features(run, windows), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["window"])["frames"] == 6


def test_the_hub_reads_the_folder(run: Path, windows: torch.Tensor, tmp_path: Path) -> None:
    from exporting.huggingface import HubEncoder

    folder = tmp_path / "hub"
    assert main([str(run), "--huggingface", str(folder), "--licence", "cc-by-4.0"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    loaded = HubEncoder.from_pretrained(folder).eval()
    with torch.no_grad():
        found = loaded(windows)
    for level, expected in zip(LEVELS, features(run, windows), strict=True):
        np.testing.assert_allclose(found[level], expected, atol=1e-6)
    text = (folder / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: hierarchical-video-transformer\nlicense: cc-by-4.0\n")
    assert "| knn | clip | a\\|b | top1 | 81.2 ± 3.0 | 20.0 | 10.0 |" in text
    assert main([str(run), "--huggingface", str(folder)]) == 2  # it is not empty any more


def test_what_differs_is_not_kept(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporting.formats, "TOLERANCE", -1.0)
    assert main([str(run), "--torchscript", str(tmp_path / "encoder.pt")]) == 2
    assert "its outputs differ from the encoder's" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name what to write: --onnx, --torch-export, --torchscript or --huggingface"),
        (["--torchscript", "file/inside.pt"], "cannot write file/inside.pt: "),
        (["--torchscript", "x.pt", "--checkpoint", "middle"], "--checkpoint middle"),
    ],
)
def test_bad_input_is_one_line(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    assert main([str(run), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_an_encoder_that_cannot_be_exported_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("an operator is unknown\nand much more")

    monkeypatch.setattr(torch.export, "export", fail)
    assert main([str(run), "--torch-export", str(tmp_path / "x.pt2")]) == 2
    error = capsys.readouterr().err
    assert error == "error: --torch-export: this encoder cannot be exported so: an operator is unknown\n"


def test_missing_packages_are_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporting.formats, "find_spec", lambda _: None)
    assert main([str(run), "--onnx", str(tmp_path / "x.onnx")]) == 2
    assert "--onnx needs onnx, onnxscript, onnxruntime: pip install" in capsys.readouterr().err


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; sys.argv = ['export.py', '--help']; import export\n"
    code += "try: export.main()\nexcept SystemExit: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: export.py")
    assert done.stdout.endswith("False\n")
