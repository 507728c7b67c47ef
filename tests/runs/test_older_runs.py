"""A run folder of an older version loads, is evaluated, and is resumed to its end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import joblib
import pytest
import torch
from safetensors.torch import load_file

import main
from config.earlier import read_earlier
from config.errors import InputError
from config.load import load_config, restore_config
from runs.checkpoint import load_checkpoint
from runs.history import check_same_experiment
from tasks.encoder import build_hierarchy
from tasks.encoder_settings import HierarchySettings
from tasks.hierarchical_settings import HierarchicalSettings

OLD = Path(__file__).parent / "run_of_41187a4"
# What the version that wrote the run computes: the first numbers of the first unit of each level.
FEATURES = {
    "space": [-1.10971, -0.00741, 0.64991, 1.32724],
    "time": [0.1373, 0.09877, 1.00346, -0.23699],
    "clip": [-0.43837, 1.90185, -1.51935, 0.9927],
}


def old_config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads((OLD / "checkpoints/encoder.json").read_text())["config"]
    return config


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, with its data beside it; the run's paths are relative to where it was started."""
    from data_utils.prepare import moving_digits  # its imports take seconds

    with joblib.parallel_config(backend="sequential"):
        moving_digits.prepare(tmp_path / "digits", {"train": 12, "val": 12, "test": 12}, seed=0)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, tmp_path / OLD.name)
    (tmp_path / OLD.name / "figures").mkdir()
    return tmp_path / OLD.name


def test_its_encoder_gives_the_same_features() -> None:
    config = restore_config(old_config(), "encoder.json")
    encoder = build_hierarchy(config).eval()
    encoder.load_state_dict(load_file(OLD / "checkpoints/encoder.safetensors"))
    video = 3 * torch.linspace(-2, 2, 4 * 3 * 16 * 16).sin().view(1, 4, 3, 16, 16)
    with torch.no_grad():
        features = encoder(video)
    for level, expected in FEATURES.items():
        torch.testing.assert_close(features[level][0, 0, :4], torch.tensor(expected), rtol=0, atol=1e-4)


def test_what_its_config_lacks_means_what_the_program_did_then() -> None:
    for config in (
        restore_config(old_config(), "encoder.json"),
        load_config(str(OLD / "config.yaml")).config,
    ):
        settings = config.section(HierarchicalSettings)
        assert all(settings.views[level] == ["none"] for level in config.groups)
        assert settings.detach_side_targets
        assert all(settings.weights_of(level).invariance == 0 for level in config.groups)
        assert settings.loss.model_dump() == {"name": "smooth_l1", "beta": 2.0}
        assert config.augmentation.static_swap.probability == config.augmentation.noise.probability == 0
        assert config.section(HierarchySettings).patch_size == 8
        assert config.lr_scale == old_config()["lr_scale"]


@pytest.mark.parametrize(
    ("change", "views", "detached"),
    [
        ({"augment_training": True}, ["strong"], True),
        ({"detach_targets": False}, ["none"], False),
        ({"targets": "second_view"}, ["strong", "strong"], True),
    ],
)
def test_its_views_and_targets_follow_from_other_keys(change: dict[str, Any], views: list[str], detached: bool) -> None:
    settings = restore_config(old_config() | change, "encoder.json").section(HierarchicalSettings)
    assert settings.views["time"] == views
    assert settings.detach_side_targets == detached


def test_an_entry_that_it_did_not_have_is_not_made_up() -> None:
    config = restore_config(old_config() | {"lr_scale": {"space": 1.0}}, "encoder.json")
    assert config.lr_scale == {"space": 1.0}


def test_keys_and_values_that_exist_no_more_are_named(caplog: pytest.LogCaptureFixture) -> None:
    old = old_config() | {"learning": "fast", "targets": "second_view"}
    old["window"] = old["window"] | {"colour": "blue"}
    earlier = read_earlier(old, "last.pt")
    assert sorted(earlier.vanished) == ["learning", "window.colour"]
    assert earlier.gone == ["targets=second_view"]
    now = restore_config(old, "last.pt").model_dump()
    with pytest.raises(InputError, match=r"cannot train with targets=second_view, as last\.pt was"):
        check_same_experiment(old, now, Path("last.pt"))
    del old["targets"]
    check_same_experiment(old, restore_config(old, "last.pt").model_dump(), Path("last.pt"))
    assert "window.colour" in caplog.text
    assert "learning" in caplog.text


@pytest.mark.parametrize("change", [{"batch_size": "many"}, {"groups": ["clip"]}, {"hierarchy": {"patch_size": 8}}])
def test_what_is_not_a_config_is_told_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^encoder\.json: |\(encoder\.json\)|encoder\.json has both") as error:
        restore_config(old_config() | change, "encoder.json")
    assert "\n" not in str(error.value)


def test_it_is_evaluated_again_and_then_resumed_to_its_end(folder: Path) -> None:
    config = f"{folder.name}/config.yaml"
    then = json.loads((folder / "summary.json").read_text())
    assert main.main([config, "resume=true", "figures=[]"]) == 0
    again = json.loads((folder / "summary.json").read_text())
    for level, by_labels in then["knn"].items():
        for labels, score in by_labels.items():
            # One of the twelve videos may go to another class: on another machine, votes that are nearly even may.
            assert again["knn"][level][labels]["top1"] == pytest.approx(score["top1"], abs=100 / 12 + 0.01)

    assert main.main([config, "resume=true", "figures=[]", "num_epochs=2"]) == 0
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["epochs"], summary["steps"]) == (2, 2 * then["steps"])
    config_of_today = load_checkpoint(folder / "checkpoints/last.pt")["config"]
    assert "patch_size" not in config_of_today
    assert config_of_today["hierarchical"]["views"]["space"] == ["none"]
    assert restore_config(config_of_today, "last.pt").model_dump() == config_of_today


def test_another_config_does_not_continue_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([f"{folder.name}/config.yaml", "resume=true", "hierarchical.loss.beta=1.0"]) == 2
    assert "resume=true, but hierarchical.loss.beta is 1.0 and was 2.0 in " in capsys.readouterr().err
