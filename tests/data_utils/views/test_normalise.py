from __future__ import annotations

import pytest
import torch

from data_utils.views.normalise import normalise, to_pixels


def test_every_channel_gets_its_own_mean_and_std() -> None:
    video = torch.randint(0, 256, (2, 3, 3, 4, 5), dtype=torch.uint8)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    expected = (video.double() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    result = normalise(video, mean, std)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected.float(), rtol=1e-5, atol=1e-5)


def test_normalising_twice_is_an_error() -> None:
    with pytest.raises(TypeError, match="uint8"):
        normalise(torch.zeros(1, 3, 2, 2), [0, 0, 0], [1, 1, 1])


def test_pixels_come_back() -> None:
    video = torch.randint(0, 256, (2, 4, 3, 5, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = [0.3, 0.4, 0.5], [0.1, 0.2, 0.3]
    assert torch.equal(to_pixels(normalise(video, mean, std), mean, std), video)
