"""The encoder of a config, and the files that it may start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from architecture.geometry import MIN_FRAMES
from architecture.torchvision_networks import TorchvisionNetwork
from config.errors import InputError
from config.schema import Config
from runs.checkpoint import save_encoder
from tasks.encoder import build_encoder, feature_dim

MakeConfig = Callable[..., Config]
GROUPS = {
    "two levels": ("groups=[space,time]", "frames_per_clip=6"),
    "three levels": ("groups=[space,time,clip]",),
    "patches too": ("groups=[backbone,space,time,clip]",),
}
CNNS = ("s3d", "r2plus1d_18", "mvit_v2_s", "swin3d_t")


def build(config: Config, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_encoder(config)


def make_video(batch: int = 2, frames: int = 6) -> Tensor:
    return torch.randn(batch, frames, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def cnn_config(tiny_config: MakeConfig, *overrides: str, encoder: str = "s3d") -> Config:
    return tiny_config("task=supervised", f"encoder={encoder}", "window.length=8", *overrides)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# ------------------------------------------------------------------------------------------------- the encoder


@pytest.mark.parametrize("isolation", ["strict", "overlap", "end2end"])
@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_gradient_of_the_last_level_reaches_all_of_a_hierarchy(
    tiny_config: MakeConfig, groups: tuple[str, ...], isolation: str
) -> None:
    encoder = build(tiny_config(*groups, "task=vicreg", f"isolation={isolation}"))
    features = encoder(make_video())
    (features[list(features)[-1]] * torch.randn(features[list(features)[-1]].shape)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_features_have_the_levels_and_widths_that_the_config_says(
    tiny_config: MakeConfig, groups: tuple[str, ...]
) -> None:
    config = tiny_config(*groups)
    features = build(config).eval()(make_video())
    assert list(features) == config.levels
    assert {level: units.shape[2] for level, units in features.items()} == {
        level: feature_dim(config, level) for level in config.levels
    }


@pytest.mark.parametrize("encoder", CNNS)
def test_a_cnn_gives_features_of_the_last_group_alone(tiny_config: MakeConfig, encoder: str) -> None:
    config = cnn_config(tiny_config, "groups=[space,time]", "frames_per_clip=8", encoder=encoder)
    cnn = build(config)
    with torch.no_grad():
        features = cnn.eval()(make_video(frames=8))
    assert {level: tuple(units.shape) for level, units in features.items()} == {
        "time": (2, 1, feature_dim(config, "time"))
    }


def test_a_config_with_too_few_frames_for_s3d_is_refused(tiny_config: MakeConfig) -> None:
    least = MIN_FRAMES["s3d"]
    s3d = ("task=supervised", "encoder=s3d", "frames_per_clip=1")
    assert tiny_config(*s3d, f"window.length={least}").encoder == "s3d"
    with pytest.raises(InputError, match=rf"s3d needs {least} frames or more, not {least - 1}"):
        tiny_config(*s3d, f"window.length={least - 1}")


# ----------------------------------------------------------------------------------------------- its checkpoint


@pytest.mark.parametrize("kind", ["hierarchical", "s3d"])
def test_it_starts_from_a_runs_encoder(tiny_config: MakeConfig, tmp_path: Path, kind: str) -> None:
    config = tiny_config("task=supervised", f"encoder={kind}", "window.length=8")
    trained = build(config, seed=1)
    path = save_encoder(trained.state_dict(), {}, tmp_path)
    started = build(config.model_copy(update={"encoder_checkpoint": str(path)}))
    assert same_weights(started, trained)
    assert not same_weights(started, build(config))


def test_a_checkpoint_of_any_isolation_fits(tiny_config: MakeConfig, tmp_path: Path) -> None:
    from tasks.hierarchical import HierarchicalTask

    strict = HierarchicalTask(tiny_config("isolation=strict")).encoder
    path = save_encoder(strict.state_dict(), {}, tmp_path)
    assert same_weights(build(tiny_config("task=supervised", f'encoder_checkpoint="{path}"')), strict)


def test_a_cnn_starts_from_torchvisions_file_without_its_classifier(tiny_config: MakeConfig, tmp_path: Path) -> None:
    from torchvision.models import video

    torch.manual_seed(1)
    published = video.s3d()
    weights = {name: tensor for name, tensor in published.state_dict().items() if "num_batches" not in name}
    path = tmp_path / "s3d.pth"
    torch.save(weights, path)  # as old files of torchvision: no counters of batches
    cnn = build(cnn_config(tiny_config, f'encoder_checkpoint="{path}"'))
    assert isinstance(cnn, TorchvisionNetwork)
    started = cnn.network.state_dict()
    assert {name for name in weights if name not in started} == {"classifier.1.weight", "classifier.1.bias"}
    assert all(torch.equal(weights[name], started[name]) for name in started if name in weights)


def damage(name: str, encoder: nn.Module, folder: Path) -> Path:
    """A file that an encoder cannot start from."""
    weights = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    first = next(iter(weights))
    path = folder / ("file.pth" if name.startswith("pth") else "file.safetensors")
    if name == "missing":
        return path
    if name == "folder":
        path.mkdir()
    elif name in ("no safetensors", "pth damaged"):
        path.write_bytes(b"0123456789")
    elif name == "cut off":
        save_file(weights, path)
        path.write_bytes(path.read_bytes()[:-10])
    elif name == "key missing":
        save_file({key: tensor for key, tensor in weights.items() if key != first}, path)
    elif name == "key unknown":
        save_file(weights | {"other.weight": torch.zeros(2)}, path)
    elif name == "shape":
        save_file(weights | {first: torch.zeros(5, 7)}, path)
    elif name == "pth nested":
        torch.save({"model": weights, "epoch": 3}, path)
    elif name == "pth with code":
        torch.save({"weight": Path("code")}, path)
    elif name == "pth for a hierarchy":
        torch.save(weights, path)
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "cannot read"),
        ("folder", "cannot read"),
        ("no safetensors", "damaged"),
        ("cut off", "damaged"),
        ("key missing", "lacks"),
        ("key unknown", "the encoder has no other.weight"),
        ("shape", "is [5, 7] in"),
        ("pth damaged", "damaged"),
        ("pth nested", "holds more than the weights"),
        ("pth with code", "damaged"),
        ("pth for a hierarchy", "encoder.safetensors"),
    ],
)
def test_what_does_not_fit_is_one_line_of_advice(tiny_config: MakeConfig, tmp_path: Path, name: str, said: str) -> None:
    path = damage(name, build(tiny_config()), tmp_path)
    with pytest.raises(InputError) as caught:
        build(tiny_config(f'encoder_checkpoint="{path}"'))
    message = str(caught.value)
    assert message.startswith("encoder_checkpoint: ")
    assert said in message
    assert str(path) in message
    assert "\n" not in message


def test_weights_of_another_cnn_do_not_fit(tiny_config: MakeConfig, tmp_path: Path) -> None:
    cnn = build(cnn_config(tiny_config))
    assert isinstance(cnn, TorchvisionNetwork)
    path = tmp_path / "r2plus1d_18.pth"
    torch.save({"stem.0.weight": torch.zeros(45, 3, 1, 7, 7)}, path)
    with pytest.raises(InputError, match=r"lacks features\.0\.0\.0\.weight and \d+ more"):
        build(cnn_config(tiny_config, f'encoder_checkpoint="{path}"'))


def test_a_temporal_stem_warns_once_that_it_leaks(
    tiny_config: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    build_encoder(tiny_config("hierarchy.stem=cnn", "task=vicreg"))
    assert caplog.records == []
    build_encoder(tiny_config("hierarchy.stem=cnn", "hierarchy.temporal_stem=true", "task=vicreg"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "hierarchy.temporal_stem=false does not leak" in caplog.text
