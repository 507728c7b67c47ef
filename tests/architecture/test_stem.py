from __future__ import annotations

import numpy as np
import torch

from architecture.stem import PatchStem, patchify


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
