"""torchvision's networks without their classifiers, on windows of any size."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from architecture.geometry import MIN_FRAMES
from architecture.torchvision_networks import FEATURE_DIM, TorchvisionName, TorchvisionNetwork

NAMES: tuple[TorchvisionName, ...] = get_args(TorchvisionName)
CONVOLUTIONAL: tuple[TorchvisionName, ...] = ("s3d", "r2plus1d_18")


def make_video(frames: int, height: int, width: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, frames, 3, height, width, generator=torch.Generator().manual_seed(1))


@cache  # nobody changes it
def make_network(name: TorchvisionName, momentum: float = 0.1) -> TorchvisionNetwork:
    torch.manual_seed(0)
    return TorchvisionNetwork(name, "clip", momentum).eval()


@cache
def make_published(name: TorchvisionName) -> Any:
    """torchvision's own, with the same weights and, in place of the classifier, nothing."""
    from torchvision.models import video

    torch.manual_seed(0)
    published = getattr(video, name)().eval()
    setattr(published, make_network(name).classifier_name, nn.Identity())
    return published


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@torch.no_grad()
def test_it_is_torchvisions_network_up_to_the_mean_over_space_and_time(name: TorchvisionName) -> None:
    published = make_published(name)
    windows_BTCHW = make_video(8, 32, 32)
    maps_BCTHW = torch.stack([windows_BTCHW[:, :, channel] for channel in range(3)], dim=1)
    for part in [published.features] if name == "s3d" else list(published.children())[:5]:
        maps_BCTHW = part(maps_BCTHW)
    features, tokens = make_network(name).features_and_tokens(windows_BTCHW)
    assert features["clip"].shape == (2, 1, FEATURE_DIM[name])
    torch.testing.assert_close(features["clip"][:, 0], maps_BCTHW.mean(dim=(2, 3, 4)))
    assert torch.equal(tokens["clip"], maps_BCTHW.permute(0, 2, 3, 4, 1).flatten(1, 3)[:, None])


@torch.no_grad()
def test_mvit_is_torchvisions_up_to_its_class_token() -> None:
    published = copy.deepcopy(make_published("mvit_v2_s"))
    published.pos_encoding.temporal_size, published.pos_encoding.spatial_size = 3, (8, 12)  # for 6 frames of 32 x 48
    windows_BTCHW, states = make_video(6, 32, 48), []
    published.norm.register_forward_hook(lambda module, inputs, output: states.append(output))
    expected_BD = published(windows_BTCHW.transpose(1, 2))
    features, tokens = make_network("mvit_v2_s").features_and_tokens(windows_BTCHW)
    assert torch.equal(features["clip"][:, 0], expected_BD)
    assert torch.equal(tokens["clip"], states[0][:, None, 1:])
    assert tokens["clip"].shape == (2, 1, 3 * 1 * 2, 768)


@torch.no_grad()
def test_swin_is_torchvisions_where_maps_fill_its_windows() -> None:
    windows_BTCHW = make_video(2, 224, 224, batch=1)
    states: list[Tensor] = []
    published = make_published("swin3d_t")
    handle = published.norm.register_forward_hook(lambda module, inputs, output: states.append(output))
    expected_BD = published(windows_BTCHW.transpose(1, 2))
    handle.remove()
    features, tokens = make_network("swin3d_t").features_and_tokens(windows_BTCHW)
    assert torch.equal(features["clip"][:, 0], expected_BD)
    assert torch.equal(tokens["clip"], states[0].flatten(1, 3)[:, None])
    assert tokens["clip"].shape == (1, 1, 7 * 7, 768)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "frames", "size"), [("mvit_v2_s", 16, 224), ("swin3d_t", 32, 224)])
@torch.no_grad()
def test_a_transformer_is_torchvisions_on_the_published_windows(name: TorchvisionName, frames: int, size: int) -> None:
    windows_BTCHW = make_video(frames, size, size, batch=1)
    expected_BD = make_published(name)(windows_BTCHW.transpose(1, 2))
    assert torch.equal(make_network(name)(windows_BTCHW)["clip"][:, 0], expected_BD)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_features_are_those_of_the_pass_that_gives_tokens(name: TorchvisionName) -> None:
    network, windows_BTCHW = make_network(name), make_video(8, 16, 24)
    features, tokens = network.features_and_tokens(windows_BTCHW)
    assert list(features) == list(tokens) == ["clip"]
    assert torch.equal(network(windows_BTCHW)["clip"], features["clip"])


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_windows_may_be_small(name: TorchvisionName) -> None:
    network = make_network(name)
    for frames, height, width in ((8, 36, 36), (9, 16, 24), (8, 9, 9), (MIN_FRAMES[name], 1, 1)):
        features, tokens = network.features_and_tokens(make_video(frames, height, width))
        for units in (features["clip"], tokens["clip"]):
            assert units.shape[:2] == (2, 1)
            assert units.shape[-1] == FEATURE_DIM[name] == network.dim
            assert units.isfinite().all()
            assert not torch.equal(units[0], units[1])


@torch.no_grad()
def changed(name: TorchvisionName, frames: int, size: int, change: Callable[[Tensor], Tensor]) -> float:
    """By how much the features of a window change with it, as a share of their length."""
    window_BTCHW = make_video(frames, size, size, batch=1)
    before, after = (make_network(name)(window)["clip"].flatten() for window in (window_BTCHW, change(window_BTCHW)))
    return float((after - before).norm() / before.norm())


@pytest.mark.parametrize("name", ["mvit_v2_s", "swin3d_t"])
def test_a_transformer_sees_the_order_of_frames_of_any_length(name: TorchvisionName) -> None:
    for frames in (4, 12):
        assert changed(name, frames, 32, lambda window: window.flip(1)) > 1e-3


def test_the_last_pooling_of_s3d_is_torchvisions_at_the_published_size() -> None:
    (pool,) = [m for m in make_network("s3d").modules() if isinstance(m, nn.MaxPool3d) and m.ceil_mode]
    maps = torch.randn(1, 2, 16, 14, 14, generator=torch.Generator().manual_seed(1))
    assert torch.equal(pool(maps), nn.functional.max_pool3d(maps, 2))
    assert pool(maps[:, :, :1, :1, :1]).shape == (1, 2, 1, 1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_no_classifier_and_the_momentum_that_was_asked_for(name: TorchvisionName) -> None:
    network = make_network(name, momentum=0.3)
    momenta = {module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm3d)}
    assert momenta == ({0.3} if name in CONVOLUTIONAL else set())
    assert not [module for module in network.modules() if isinstance(module, nn.Linear) and module.out_features == 400]
    assert not [key for key in network.state_dict() if f".{network.classifier_name}." in key]
    published = [key for key in make_published(name).state_dict() if not key.startswith(network.classifier_name)]
    assert list(network.state_dict()) == [f"network.{key}" for key in published]


def test_torchvision_is_imported_only_by_those_who_need_it() -> None:
    code = "import sys; import architecture.torchvision_networks; assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("extra", [0, 1])
def test_gradients_are_right_from_the_shortest_window_on(name: TorchvisionName, extra: int) -> None:
    # oneDNN leaves parts of the gradient unwritten for shorter ones; what is left in memory there should be noticed.
    frames = MIN_FRAMES[name] + extra
    network = make_network(name)
    kinds = {
        (m.kernel_size, m.stride, m.groups): m
        for m in network.modules()
        if isinstance(m, nn.Conv3d) and m.kernel_size[0] > 1
    }
    assert kinds
    for convolution in kinds.values():
        length, height = (max(size, convolution.kernel_size[axis]) for axis, size in ((0, frames), (1, 2)))  # padded
        shape = (2, convolution.in_channels, length, height, height + 1)
        maps = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        for _ in range(3):
            rubbish = [torch.full((size,), 1e30) for size in (10_000, convolution.weight.numel()) for _ in range(4)]
            del rubbish
            (gradient,) = torch.autograd.grad(convolution(maps).square().sum(), convolution.weight)
            exact = copy.deepcopy(convolution).double()
            (expected,) = torch.autograd.grad(exact(maps.double()).square().sum(), exact.weight)
            torch.testing.assert_close(gradient.double(), expected, rtol=1e-3, atol=1e-2)
