"""torchvision's networks without their classifiers, on windows of any size."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from architecture.geometry import MIN_FRAMES
from architecture.video_cnn import FEATURE_DIM, VideoCNN, VideoCNNName

NAMES: tuple[VideoCNNName, ...] = ("s3d", "r2plus1d_18")


def make_video(frames: int, height: int, width: int) -> Tensor:
    return torch.randn(2, frames, 3, height, width, generator=torch.Generator().manual_seed(1))


def make_cnn(name: VideoCNNName, momentum: float = 0.1) -> VideoCNN:
    torch.manual_seed(0)
    return VideoCNN(name, "clip", momentum).eval()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_it_is_torchvisions_network_up_to_the_mean_over_space_and_time(name: VideoCNNName) -> None:
    from torchvision.models import video

    torch.manual_seed(0)
    published = getattr(video, name)().eval()
    windows_BTCHW = make_video(8, 32, 32)
    maps_BCTHW = torch.stack([windows_BTCHW[:, :, channel] for channel in range(3)], dim=1)
    for part in [published.features] if name == "s3d" else list(published.children())[:5]:
        maps_BCTHW = part(maps_BCTHW)
    features = make_cnn(name)(windows_BTCHW)
    assert list(features) == ["clip"]
    assert features["clip"].shape == (2, 1, FEATURE_DIM[name])
    torch.testing.assert_close(features["clip"][:, 0], maps_BCTHW.mean(dim=(2, 3, 4)))
    again, tokens = make_cnn(name).features_and_tokens(windows_BTCHW)
    assert torch.equal(again["clip"], features["clip"])
    assert torch.equal(tokens["clip"], maps_BCTHW.permute(0, 2, 3, 4, 1).flatten(1, 3)[:, None])


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_windows_may_be_small(name: VideoCNNName) -> None:
    cnn = make_cnn(name)
    for frames, height, width in ((8, 36, 36), (9, 16, 24), (8, 9, 9)):
        features_BUD = cnn(make_video(frames, height, width))["clip"]
        assert features_BUD.shape == (2, 1, FEATURE_DIM[name])
        assert features_BUD.isfinite().all()
        assert not torch.equal(features_BUD[0], features_BUD[1])


def test_the_last_pooling_of_s3d_is_torchvisions_at_the_published_size() -> None:
    (pool,) = [m for m in make_cnn("s3d").modules() if isinstance(m, nn.MaxPool3d) and m.ceil_mode]
    maps = torch.randn(1, 2, 16, 14, 14, generator=torch.Generator().manual_seed(1))
    assert torch.equal(pool(maps), nn.functional.max_pool3d(maps, 2))
    assert pool(maps[:, :, :1, :1, :1]).shape == (1, 2, 1, 1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_no_classifier_and_the_momentum_that_was_asked_for(name: VideoCNNName) -> None:
    cnn = make_cnn(name, momentum=0.3)
    assert not [module for module in cnn.modules() if isinstance(module, nn.Linear)]
    assert {module.momentum for module in cnn.modules() if isinstance(module, nn.BatchNorm3d)} == {0.3}
    assert not [key for key in cnn.state_dict() if cnn.classifier_name in key]


def test_torchvision_is_imported_only_by_those_who_need_it() -> None:
    code = "import sys; import architecture.video_cnn; assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("extra", [0, 1])
def test_gradients_are_right_from_the_shortest_window_on(name: VideoCNNName, extra: int) -> None:
    # oneDNN leaves parts of the gradient unwritten for shorter ones; what is left in memory there should be noticed.
    frames = MIN_FRAMES[name] + extra
    cnn = make_cnn(name)
    kinds = {(m.kernel_size, m.stride): m for m in cnn.modules() if isinstance(m, nn.Conv3d) and m.kernel_size[0] > 1}
    assert kinds
    for convolution in kinds.values():
        maps = torch.randn(2, convolution.in_channels, frames, 2, 3, generator=torch.Generator().manual_seed(1))
        for _ in range(3):
            rubbish = [torch.full((size,), 1e30) for size in (10_000, convolution.weight.numel()) for _ in range(4)]
            del rubbish
            (gradient,) = torch.autograd.grad(convolution(maps).square().sum(), convolution.weight)
            exact = copy.deepcopy(convolution).double()
            (expected,) = torch.autograd.grad(exact(maps.double()).square().sum(), exact.weight)
            torch.testing.assert_close(gradient.double(), expected, rtol=1e-3, atol=1e-2)
