"""Targets and loss of masked autoencoders, beside the same written out number by number in float64."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np
import pytest
import torch

from architecture.tubelets import take
from data_utils.views.normalise import normalise
from tasks.masked_targets import PixelTargets, masked_loss

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_video(frames: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels [2, T, 3, 4, 6], uint8, and the same normalised."""
    pixels = torch.randint(0, 256, (2, frames, 3, 4, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return pixels, normalise(pixels, MEAN, STD)


@pytest.mark.parametrize(("per", "undo", "tubelet"), list(product(("patch", "patch_channel"), (False, True), (1, 2))))
def test_the_loss_equals_an_independent_calculation(
    per: Literal["patch", "patch_channel"], undo: bool, tubelet: int
) -> None:
    pixels, video = make_video()
    targets = PixelTargets(tubelet, 2, per, (MEAN, STD) if undo else None)
    found = targets.of(video)
    masked = torch.tensor([[0, 3, 5, 7], [2, 3, 4, 11]])
    predicted = torch.randn(2, 4, found.shape[-1], generator=torch.Generator().manual_seed(2))
    loss = masked_loss(predicted, take(found, masked))

    exact = pixels.numpy().astype(np.float64) / 255
    if not undo:
        exact = (exact - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    errors = []
    for window, tokens in enumerate(masked.tolist()):
        for place, token in enumerate(tokens):
            time, inside = divmod(token, 6)
            row, column = divmod(inside, 3)
            block = exact[window, time * tubelet :][:tubelet, :, 2 * row :][:, :, :2, 2 * column : 2 * column + 2]
            assert block.shape == (tubelet, 3, 2, 2)
            axes = None if per == "patch" else (0, 2, 3)
            mean, variance = block.mean(axis=axes, keepdims=True), block.var(axis=axes, ddof=1, keepdims=True)
            wanted = ((block - mean) / np.sqrt(variance + 1e-6)).transpose(2, 3, 0, 1).reshape(-1)
            np.testing.assert_allclose(found[window, token].numpy(), wanted, atol=2e-5)
            errors.append(((predicted[window, place].double().numpy() - wanted) ** 2).mean())
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-5)


def test_shown_tokens_count_for_nothing() -> None:
    _, video = make_video()
    targets, masked = PixelTargets(2, 2, "patch"), torch.tensor([[1, 4], [0, 9]])
    predicted = torch.randn(2, 12, 24)
    loss = masked_loss(take(predicted, masked), take(targets.of(video), masked))
    shown = torch.ones(2, 12).bool().scatter(1, masked, False)
    predicted[shown] += 1e3
    assert masked_loss(take(predicted, masked), take(targets.of(video), masked)) == loss


def test_a_patch_of_one_colour_has_a_finite_target() -> None:
    video = torch.full((1, 2, 3, 4, 6), 0.7)
    for per in ("patch", "patch_channel"):
        assert PixelTargets(2, 2, per).of(video).abs().max() < 1e-3


@pytest.mark.parametrize(("per", "undo", "frames"), list(product(("patch", "patch_channel"), (False, True), (1, 4))))
def test_targets_become_pixels_again(per: Literal["patch", "patch_channel"], undo: bool, frames: int) -> None:
    _, video = make_video(frames)
    targets = PixelTargets(2, 2, per, (MEAN, STD) if undo else None)
    plain = PixelTargets(2, 2, per)
    inverted = targets.inverted(targets.of(video), video)
    torch.testing.assert_close(inverted, plain.pixels(video).flatten(2), atol=1e-4, rtol=1e-4)


def test_targets_have_no_gradient_and_are_float32_whatever_the_predictions() -> None:
    _, video = make_video()
    found = PixelTargets(2, 2, "patch_channel").of(video.bfloat16().requires_grad_())
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert masked_loss(found.bfloat16(), found).dtype == torch.float32
