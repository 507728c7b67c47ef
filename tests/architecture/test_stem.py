from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv3dNormActivation

from architecture.stem import ConvStem, PatchStem, build_stem, patchify


def test_patches_are_cut_in_row_major_order() -> None:
    video = torch.arange(2 * 3 * 3 * 8 * 12).reshape(2, 3, 3, 8, 12)
    patches = patchify(video, 4)
    assert patches.shape == (2, 3, 6, 48)
    for row in range(2):
        for column in range(3):
            crop = video[:, :, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert torch.equal(patches[:, :, 3 * row + column], crop.permute(0, 1, 3, 4, 2).flatten(2))


def test_the_stem_projects_each_patch_by_itself() -> None:
    torch.manual_seed(0)
    stem = PatchStem(4, 10)
    video = torch.randn(1, 2, 3, 8, 12)
    changed = video.clone()
    changed[0, 1, :, :4, 4:8] += 1
    differs = (stem(changed) != stem(video)).any(dim=-1)[0]
    assert differs.nonzero().tolist() == [[1, 1]]


def test_patches_are_normalised_but_weak_ones_stay_weak() -> None:
    torch.manual_seed(0)
    stem = PatchStem(4, 10)
    video = 3 * torch.randn(1, 2, 3, 8, 12) + 5
    patches = patchify(video, 4).double().numpy()
    centred = patches - patches.mean(axis=-1, keepdims=True)
    normalised = centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1)
    expected = normalised @ stem.project.weight.detach().double().numpy().T + stem.project.bias.detach().numpy()
    np.testing.assert_allclose(stem(video).detach().numpy(), expected, atol=1e-5)
    # The light of a patch does not matter, and a patch without contrast shows nothing but the bias.
    torch.testing.assert_close(stem(video + 2), stem(video), atol=1e-5, rtol=1e-4)
    flat = stem(torch.full_like(video, 0.7) + 1e-4 * video)
    torch.testing.assert_close(flat, stem.project.bias.expand_as(flat), atol=1e-3, rtol=0)
    assert list(dict(stem.named_parameters())) == ["project.weight", "project.bias"]


def make_cnn(patch_size: int = 8, temporal: bool = False, momentum: float = 0.1) -> ConvStem:
    """With running statistics that a few batches have moved off their start."""
    torch.manual_seed(0)
    stem = build_stem("cnn", patch_size, 10, temporal, momentum)
    assert isinstance(stem, ConvStem)
    for _ in range(3):
        stem(2 * torch.randn(2, 3, 3, 2 * patch_size, 3 * patch_size) + 1)
    return stem.eval()


@pytest.mark.parametrize("temporal", [True, False])
@pytest.mark.parametrize("patch_size", [4, 8, 12])
def test_a_cnn_has_the_patches_of_a_linear_stem(patch_size: int, temporal: bool) -> None:
    video = torch.randn(2, 5, 3, 2 * patch_size, 3 * patch_size)
    linear = build_stem("linear", patch_size, 10, False, 0.1)
    assert isinstance(linear, PatchStem)
    assert make_cnn(patch_size, temporal)(video).shape == linear(video).shape == (2, 5, 6, 10)


def test_a_cnn_is_what_it_says() -> None:
    stem, video = make_cnn(), torch.randn(2, 3, 3, 16, 24)
    weights = {name: value.double() for name, value in stem.state_dict().items()}

    def conv(x: Tensor, layer: int, **options: Any) -> Tensor:
        x = F.conv2d(x, weights[f"layers.{layer}.0.weight"].squeeze(2), **options)
        mean, var = weights[f"layers.{layer}.1.running_mean"], weights[f"layers.{layer}.1.running_var"]
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        x = x * weights[f"layers.{layer}.1.weight"][:, None, None] + weights[f"layers.{layer}.1.bias"][:, None, None]
        return x.relu()

    found = stem(video)
    for b in range(2):
        for t in range(3):
            x = conv(video[b, t][None].double(), 0, stride=2, padding=3)
            x = F.max_pool2d(x, 3, stride=2, padding=1)
            x = conv(conv(x, 3), 4, padding=1)
            x = F.max_pool2d(x, 3, stride=1, padding=1)[0]
            cells = [x[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2] for row in range(2) for col in range(3)]
            tokens = torch.stack([cell.permute(1, 2, 0).flatten() for cell in cells])
            expected = tokens @ weights["project.weight"].T + weights["project.bias"]
            torch.testing.assert_close(found[b, t].double(), expected, atol=1e-4, rtol=1e-4)


def test_a_patch_of_a_cnn_lies_where_it_says() -> None:
    stem = make_cnn(4)
    video = torch.randn(1, 1, 3, 64, 80, requires_grad=True)
    patches = stem(video)[0, 0].unflatten(0, (16, 20))
    gradient = torch.autograd.grad(patches[7, 11] @ torch.arange(1.0, 11.0), video)[0]
    rows, columns = (gradient[0, 0].abs().sum(dim=0) > 0).nonzero().unbind(dim=1)
    # Of radius 13: last pool and 3 x 3 take two cells of 4 pixels, the first pool one of 2, the 7 x 7 three pixels.
    assert 4 * 7 - 13 <= rows.min() < 4 * 7
    assert 4 * 7 + 3 < rows.max() <= 4 * 7 + 13
    assert 4 * 11 - 13 <= columns.min() < 4 * 11
    assert 4 * 11 + 3 < columns.max() <= 4 * 11 + 13


@pytest.mark.parametrize(("temporal", "reach"), [(False, 0), (True, 2)])
def test_how_far_a_cnn_sees_in_time(temporal: bool, reach: int) -> None:
    stem = make_cnn(temporal=temporal)
    video = torch.randn(1, 7, 3, 16, 24, requires_grad=True)
    scalars = (stem(video)[0] @ torch.arange(1.0, 11.0)).sum(dim=1)
    rows = [torch.autograd.grad(scalar, video, retain_graph=True)[0][0] for scalar in scalars]
    seen = (torch.stack(rows) != 0).flatten(2).any(dim=-1)
    time = torch.arange(7)
    assert torch.equal(seen, (time[:, None] - time).abs() <= reach)


@pytest.mark.parametrize(("momentum", "settles"), [(0.1, True), (0.001, False)])
def test_the_statistics_of_a_cnn_settle_within_fifty_steps(momentum: float, settles: bool) -> None:
    torch.manual_seed(0)
    stem = build_stem("cnn", 8, 10, False, momentum)
    video = 3 * torch.randn(4, 3, 3, 16, 24) + 5
    with torch.no_grad():
        for _ in range(50):
            trained = stem.train()(video)
        error = stem.eval()(video) - trained
    assert (error.square().mean() < 0.01 * trained.var()).item() == settles


def as_before(temporal: bool) -> nn.Sequential:
    """The layers as earlier versions had them, by 3-D convolutions alone; their state_dicts are those of old runs."""
    conv = partial(Conv3dNormActivation, norm_layer=partial(nn.BatchNorm3d, momentum=0.1))
    over_time = partial(conv, kernel_size=(3, 1, 1)) if temporal else lambda *_: nn.Identity()
    return nn.Sequential(
        conv(3, 64, kernel_size=(1, 7, 7), stride=(1, 2, 2)),
        over_time(64, 64),
        nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        conv(64, 64, kernel_size=1),
        conv(64, 192, kernel_size=(1, 3, 3)),
        over_time(192, 192),
        nn.MaxPool3d((1, 3, 3), stride=1, padding=(0, 1, 1)),
    )


@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_cnn_takes_the_weights_of_earlier_runs_and_computes_what_it_did(temporal: bool, training: bool) -> None:
    stem = build_stem("cnn", 8, 10, temporal, 0.1)
    torch.manual_seed(1)
    before = as_before(temporal)
    torch.manual_seed(1)
    again = build_stem("cnn", 8, 10, temporal, 0.1).state_dict()
    assert all(torch.equal(value, again[f"layers.{name}"]) for name, value in before.state_dict().items())
    video = torch.randn(2, 3, 3, 16, 24)
    for _ in range(2):
        before(video.transpose(1, 2))
    assert isinstance(stem, ConvStem)
    stem.layers.load_state_dict(before.state_dict())
    for layers in (stem.layers, before):
        layers.train(training)
    found, wanted = stem._convolved(video), before(video.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    for name, value in before.state_dict().items():
        torch.testing.assert_close(stem.layers.state_dict()[name], value, atol=1e-5, rtol=1e-4)


def test_a_cnn_that_is_computed_once_more_has_the_same_gradients_and_moves_its_statistics_once() -> None:
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        stem = build_stem("cnn", 8, 10, False, 0.1, checkpointing)
        video = torch.randn(2, 3, 3, 16, 24)
        (stem(video) * torch.arange(10)).sum().backward()
        results.append([*(p.grad for p in stem.parameters()), *stem.state_dict().values()])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    assert int(stem.state_dict()["layers.0.1.num_batches_tracked"]) == 1
