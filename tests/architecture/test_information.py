"""Below the level that joins them, frames never see each other, nor do clips, nor do the videos of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from architecture.hierarchy import HierarchicalTransformer
from config.schema import HIERARCHIES

MakeHierarchy = Callable[..., HierarchicalTransformer]
MakeVideo = Callable[..., Tensor]

BATCH, PATCHES = 2, 6
MIXES = [(), ("space",), ("time",), ("space", "clip"), ("space", "time", "clip")]
# Derivatives have to cross levels to show a leak.
CASES = [
    (groups, tuple(level for level in causal if level in groups))
    for groups in HIERARCHIES
    for causal in MIXES
    if not causal or causal[-1] in groups
]


def influence(units_BUD: Tensor, video_BTCHW: Tensor) -> Tensor:
    """Whether d(unit i of video a) / d(pixels of frame j of video b) is other than exactly 0: [a, i, b, j]."""
    # Not the sum of a unit: a layer norm makes that a constant.
    scalars_BU = units_BUD @ torch.randn(units_BUD.shape[-1], generator=torch.Generator().manual_seed(2))
    rows = [torch.autograd.grad(scalar, video_BTCHW, retain_graph=True)[0] for scalar in scalars_BU.flatten()]
    depends: Tensor = (torch.stack(rows) != 0).any(dim=(3, 4, 5)).unflatten(0, scalars_BU.shape)
    return depends


def within_video(seen_UT: Tensor) -> Tensor:
    """The same in every video, and nothing between videos: [a, i, b, j]."""
    return torch.eye(BATCH, dtype=torch.bool)[:, None, :, None] & seen_UT[None, :, None, :]


def seen_frames(groups: Sequence[str], causal: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Which frames a level's summaries [U, T], and its tokens [G * N, T], are made of."""
    frames = 1 if "time" not in groups else 6
    below = torch.eye(frames, dtype=torch.bool)
    summaries = {"backbone": below.repeat_interleave(PATCHES, dim=0), "space": below}
    tokens = {"backbone": summaries["backbone"], "space": summaries["backbone"]}
    for name, joined in {"time": 2 if "clip" in groups else 6, "clip": 3}.items():
        if name not in groups:
            continue
        children = below.unflatten(0, (-1, joined))
        so_far = children.cumsum(dim=1) > 0
        if name not in causal:  # every token sees the whole unit
            so_far = so_far[:, -1:].expand_as(so_far)
        # Nothing follows the last child of the only unit: the state before it is the summary.
        last = -2 if name in causal and len(children) == 1 else -1
        below = so_far[:, last]
        summaries[name], tokens[name] = below, so_far.flatten(0, 1)
    return {name: summaries[name] for name in groups}, {name: tokens[name] for name in groups}


@pytest.mark.parametrize(("groups", "causal"), CASES)
@pytest.mark.parametrize(("stem", "training"), [("linear", False), ("linear", True), ("cnn", False)])
def test_a_unit_depends_on_each_of_its_own_frames_and_on_no_other(
    make_hierarchy: MakeHierarchy,
    make_video: MakeVideo,
    groups: tuple[str, ...],
    causal: tuple[str, ...],
    stem: str,
    training: bool,
) -> None:
    hierarchy = make_hierarchy(groups, causal=causal, stem=stem, isolation="end2end", dropout=0.2, noise=0.1)
    hierarchy.train(training)
    video = make_video(groups).requires_grad_()
    units = hierarchy.encode(video, tokens=True)
    summaries, tokens = seen_frames(groups, causal)
    assert list(units.summaries) == list(summaries)
    for name, seen_UT in summaries.items():
        assert torch.equal(influence(units.summaries[name], video), within_video(seen_UT)), name
    assert list(units.tokens) == list(tokens)
    for name, seen_NT in tokens.items():
        assert torch.equal(influence(units.tokens[name].flatten(1, 2), video), within_video(seen_NT)), name
    assert all(units.states[name] is units.tokens[name] for name in causal)


def test_what_a_temporal_stem_leaks_is_seen(make_hierarchy: MakeHierarchy, make_video: MakeVideo) -> None:
    hierarchy = make_hierarchy(("backbone", "space", "time"), stem="cnn", temporal=True, isolation="end2end").eval()
    video = make_video(("space", "time")).requires_grad_()
    summaries = hierarchy(video)
    time = torch.arange(6)
    neighbours = (time[:, None] - time).abs() <= 2  # two convolutions over three frames
    assert torch.equal(influence(summaries["space"], video), within_video(neighbours))
    assert torch.equal(influence(summaries["backbone"], video), within_video(neighbours.repeat_interleave(6, dim=0)))


class MixingStem(nn.Module):
    """The published mistake: a stem that looks at two frames at once."""

    def __init__(self, stem: nn.Module) -> None:
        super().__init__()
        self.stem = stem

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        patches_BTPD: Tensor = self.stem(video_BTCHW)
        return patches_BTPD + 1e-3 * patches_BTPD.roll(1, dims=1)


class RegroupingStem(MixingStem):
    """Puts patches of several frames into one unit."""

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        patches_BTPD: Tensor = self.stem(video_BTCHW)
        return patches_BTPD.transpose(1, 2).reshape(patches_BTPD.shape)


@pytest.mark.parametrize("leak", [MixingStem, RegroupingStem])
@pytest.mark.parametrize("causal", [(), ("space", "time")])
def test_a_leak_would_be_seen(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo, leak: type[MixingStem], causal: tuple[str, ...]
) -> None:
    hierarchy = make_hierarchy(causal=causal, isolation="end2end")
    hierarchy.stem = leak(hierarchy.stem)
    video = make_video().requires_grad_()
    found = hierarchy(video)
    summaries, _ = seen_frames(tuple(found), causal)
    for name in ("space", "time"):
        assert influence(found[name], video)[~within_video(summaries[name])].any()


@pytest.mark.parametrize("causal", [(), ("space", "time", "clip")])
@pytest.mark.parametrize(
    ("stem", "batchnorm", "training"),
    [("linear", False, True), ("linear", False, False), ("linear", True, False), ("cnn", True, False)],
)
def test_other_frames_do_not_change_a_bit_of_a_summary_or_a_token(
    make_hierarchy: MakeHierarchy,
    make_video: MakeVideo,
    causal: tuple[str, ...],
    stem: str,
    batchnorm: bool,
    training: bool,
) -> None:
    # Statistics over a batch can leak without a gradient: this sees it.
    hierarchy = make_hierarchy(causal=causal, stem=stem, batchnorm=batchnorm).train()
    hierarchy(make_video(seed=5))
    hierarchy.train(training)
    video = make_video()
    changed = video.clone()
    changed[0, 3] += torch.randn(video.shape[2:], generator=torch.Generator().manual_seed(3))
    before, after = hierarchy.encode(video, tokens=True), hierarchy.encode(changed, tokens=True)
    summaries, tokens = seen_frames(tuple(before.summaries), causal)
    for name, seen_UT in summaries.items():
        same_BU = (before.summaries[name] == after.summaries[name]).all(dim=-1)
        assert torch.equal(~same_BU, within_video(seen_UT)[:, :, 0, 3]), name
    for name, seen_NT in tokens.items():
        same_BM = (before.tokens[name] == after.tokens[name]).all(dim=-1).flatten(1)
        assert torch.equal(~same_BM, within_video(seen_NT)[:, :, 0, 3]), name


def test_the_order_of_frames_within_a_clip_matters(make_hierarchy: MakeHierarchy, make_video: MakeVideo) -> None:
    for positions in ("learned", "sincos"):
        hierarchy = make_hierarchy(positions=positions).eval()
        video = make_video()
        before, after = hierarchy(video), hierarchy(video[:, [1, 0, 2, 3, 4, 5]])
        torch.testing.assert_close(after["space"][:, [1, 0, 2, 3, 4, 5]], before["space"])
        assert (after["time"][:, 0] - before["time"][:, 0]).abs().max() > 1e-5
        torch.testing.assert_close(after["time"][:, 1:], before["time"][:, 1:])
