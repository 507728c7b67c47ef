"""Below the level that joins them, frames never see each other, nor do clips, nor do the videos of a batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from architecture.hierarchy import HierarchicalTransformer
from config.schema import Config
from tasks.hierarchical import build_hierarchy

MakeConfig = Callable[..., Config]
BATCH, FRAMES, PER_CLIP = 2, 6, 2


def make_video(seed: int = 1) -> Tensor:
    return torch.randn(BATCH, FRAMES, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["eval", "train"])
def hierarchy(request: pytest.FixtureRequest, tiny_config: MakeConfig) -> HierarchicalTransformer:
    """With dropout, and not isolated: else no derivative would cross a level, leak or not."""
    torch.manual_seed(0)
    levels = [f"architecture_{level}.dropout=0.2" for level in ("space", "time", "clip")]
    return build_hierarchy(tiny_config(*levels), isolated=False).train(request.param == "train")


def influence(hierarchy: HierarchicalTransformer, level: str) -> Tensor:
    """|d(summary of unit i of video a) / d(pixels of frame j of video b)|, the largest: [a, i, b, j]."""
    video = make_video().requires_grad_()
    torch.manual_seed(7)
    summaries_BUD: Tensor = hierarchy(video)[level]
    # Not their sum: a layer norm makes that a constant.
    scalars_BU = summaries_BUD @ torch.randn(summaries_BUD.shape[-1], generator=torch.Generator().manual_seed(2))
    rows = [torch.autograd.grad(scalar, video, retain_graph=True)[0] for scalar in scalars_BU.flatten()]
    largest: Tensor = torch.stack(rows).abs().amax(dim=(3, 4, 5)).unflatten(0, scalars_BU.shape)
    return largest


def belongs(units: int) -> Tensor:
    """Whether frame j of video b is part of unit i of video a: [a, i, b, j]."""
    same_video = torch.eye(BATCH, dtype=torch.bool)[:, None, :, None]
    unit_of_frame = torch.arange(FRAMES) // (FRAMES // units)
    return same_video & (torch.arange(units)[:, None] == unit_of_frame)[None, :, None, :]


@pytest.mark.parametrize(("level", "units"), [("space", FRAMES), ("time", FRAMES // PER_CLIP), ("clip", 1)])
def test_a_unit_depends_on_each_of_its_own_frames_and_on_no_other(
    hierarchy: HierarchicalTransformer, level: str, units: int
) -> None:
    found = influence(hierarchy, level)
    assert found.shape == (BATCH, units, BATCH, FRAMES)
    assert torch.equal(found != 0, belongs(units))


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
@pytest.mark.parametrize(("level", "units"), [("space", FRAMES), ("time", FRAMES // PER_CLIP)])
def test_a_leak_would_be_seen(
    hierarchy: HierarchicalTransformer, leak: type[MixingStem], level: str, units: int
) -> None:
    hierarchy.stem = leak(hierarchy.stem)  # type: ignore[assignment]
    assert (influence(hierarchy, level) != 0)[~belongs(units)].any()


@pytest.mark.parametrize("training", [True, False])
def test_other_frames_do_not_change_a_bit_of_a_summary(tiny_config: MakeConfig, training: bool) -> None:
    # Statistics over a batch can leak without a gradient: this sees it.
    torch.manual_seed(0)
    strict = build_hierarchy(tiny_config(), isolated=True).train()
    strict(make_video(seed=5))
    strict.train(training)
    video = make_video()
    changed = video.clone()
    changed[0, 3] += 1
    before, after = strict(video), strict(changed)
    for level, units in {"space": FRAMES, "time": FRAMES // PER_CLIP, "clip": 1}.items():
        same_BU = (before[level] == after[level]).all(dim=-1)
        assert torch.equal(~same_BU, belongs(units)[:, :, 0, 3])


def test_isolation_cuts_the_gradient_between_levels_and_changes_nothing_else(tiny_config: MakeConfig) -> None:
    torch.manual_seed(0)
    joined = build_hierarchy(tiny_config(), isolated=False)
    strict = build_hierarchy(tiny_config(), isolated=True)
    strict.load_state_dict(joined.state_dict())
    video = make_video()
    for (level, a), (other, b) in zip(joined(video).items(), strict(video).items(), strict=True):
        assert level == other
        assert torch.equal(a, b)

    for hierarchy, crosses in ((joined, True), (strict, False)):
        hierarchy.zero_grad()
        hierarchy(video)["clip"].square().sum().backward()
        parameters = hierarchy.level_parameters()
        assert all(p.grad is not None and p.grad.any() for p in parameters["clip"] if p.ndim == 2)
        below = [p.grad is not None and bool(p.grad.any()) for p in [*parameters["space"], *parameters["time"]]]
        assert any(below) == crosses


@pytest.mark.parametrize("positions", ["learned", "sincos"])
@pytest.mark.parametrize(("groups", "per_clip"), [("[space,time]", 6), ("[space,time,clip]", 3)])
def test_shapes_for_any_grouping(tiny_config: MakeConfig, positions: str, groups: str, per_clip: int) -> None:
    config = tiny_config(f"groups={groups}", f"frames_per_clip={per_clip}", f"position_embedding={positions}")
    patches_BTPD, summaries = build_hierarchy(config, isolated=True).encode(make_video())
    assert patches_BTPD.shape == (BATCH, FRAMES, 6, 16)
    expected = {"space": (BATCH, FRAMES, 16), "time": (BATCH, FRAMES // per_clip, 20), "clip": (BATCH, 1, 24)}
    assert {name: tuple(units.shape) for name, units in summaries.items()} == {
        name: expected[name] for name in config.groups
    }
    assert list(summaries) == config.groups


def test_the_order_of_frames_within_a_clip_matters(tiny_config: MakeConfig) -> None:
    torch.manual_seed(0)
    for positions in ("learned", "sincos"):
        hierarchy = build_hierarchy(tiny_config(f"position_embedding={positions}"), isolated=True).eval()
        video = make_video()
        swapped = video[:, [1, 0, 2, 3, 4, 5]]
        before, after = hierarchy(video), hierarchy(swapped)
        torch.testing.assert_close(after["space"][:, [1, 0, 2, 3, 4, 5]], before["space"])
        assert (after["time"][:, 0] - before["time"][:, 0]).abs().max() > 1e-5
        torch.testing.assert_close(after["time"][:, 1:], before["time"][:, 1:])


def test_every_parameter_belongs_to_one_level(tiny_config: MakeConfig) -> None:
    hierarchy = build_hierarchy(tiny_config(), isolated=True)
    owned = [id(p) for parameters in hierarchy.level_parameters().values() for p in parameters]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in hierarchy.parameters()}


def test_the_scale_of_a_level_does_not_matter_to_the_level_above(tiny_config: MakeConfig) -> None:
    torch.manual_seed(0)
    hierarchy = build_hierarchy(tiny_config(), isolated=True).eval()
    before = hierarchy(make_video())
    with torch.no_grad():
        for parameter in hierarchy.get_submodule("levels.space.norm").parameters():
            parameter.mul_(50)
    after = hierarchy(make_video())
    torch.testing.assert_close(after["space"], 50 * before["space"], atol=1e-4, rtol=1e-4)
    for level in ("time", "clip"):
        torch.testing.assert_close(after[level], before[level], atol=1e-3, rtol=1e-3)
