"""The road from pixels to units: shapes, order, what happens between levels, and what a checkpoint holds."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architecture.geometry import Geometry
from architecture.hierarchy import HierarchicalTransformer
from architecture.stem import build_stem
from config.schema import HIERARCHIES

MakeHierarchy = Callable[..., HierarchicalTransformer]
MakeVideo = Callable[..., Tensor]

BATCH, PATCHES = 2, 6


@pytest.mark.parametrize("stem", ["linear", "cnn"])
@pytest.mark.parametrize("positions", ["learned", "sincos"])
@pytest.mark.parametrize("groups", HIERARCHIES)
def test_shapes_of_every_hierarchy(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo, groups: tuple[str, ...], positions: str, stem: str
) -> None:
    hierarchy = make_hierarchy(groups, causal=groups, positions=positions, stem=stem)
    units = hierarchy.encode(make_video(groups))
    frames = 6 if "time" in groups else 1
    clips, per_clip = (3, 2) if "clip" in groups else (1, frames)
    assert units.patches_BTPD.shape == (BATCH, frames, PATCHES, 14)
    summaries = {
        "backbone": (BATCH, frames * PATCHES, 14),
        "space": (BATCH, frames, 16),
        "time": (BATCH, clips, 20),
        "clip": (BATCH, 1, 24),
    }
    states = {
        "space": (BATCH, frames, PATCHES, 16),
        "time": (BATCH, clips, per_clip, 20),
        "clip": (BATCH, 1, clips, 24),
    }
    assert [(name, found.shape) for name, found in units.summaries.items()] == [
        (name, summaries[name]) for name in groups
    ]
    levels = [name for name in groups if name != "backbone"]
    assert [(name, found.shape) for name, found in units.states.items()] == [(name, states[name]) for name in levels]
    if "backbone" in groups:
        assert torch.equal(units.summaries["backbone"].unflatten(1, (frames, PATCHES)), units.patches_BTPD)


def test_only_causal_levels_have_states(make_hierarchy: MakeHierarchy, make_video: MakeVideo) -> None:
    assert list(make_hierarchy(causal=("time",)).encode(make_video()).states) == ["time"]
    assert make_hierarchy().encode(make_video()).states == {}


@pytest.mark.parametrize("causal", [(), ("time",)])
@pytest.mark.parametrize("groups", HIERARCHIES)
def test_every_level_gives_its_tokens_where_they_are_asked_for(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo, groups: tuple[str, ...], causal: tuple[str, ...]
) -> None:
    hierarchy = make_hierarchy(groups, causal=causal, batchnorm=True).eval()
    units = hierarchy.encode(make_video(groups), tokens=True)
    geometry = hierarchy.geometry
    assert list(units.tokens) == list(groups)
    for name, tokens_BGND in units.tokens.items():
        width = units.summaries[name].shape[-1]
        assert tokens_BGND.shape == (BATCH, geometry.units(name), max(1, geometry.tokens(name)), width)
    if "backbone" in groups:
        assert torch.equal(units.tokens["backbone"].flatten(1), units.patches_BTPD.flatten(1))
    without = hierarchy.encode(make_video(groups))
    assert without.tokens == {}
    for name, summaries in without.summaries.items():
        assert torch.equal(summaries, units.summaries[name])
    features, tokens = hierarchy.features_and_tokens(make_video(groups))
    torch.testing.assert_close(features, units.summaries, rtol=0, atol=0)
    torch.testing.assert_close(tokens, units.tokens, rtol=0, atol=0)


class Kept:
    """What a computation saves for its backward pass, while it is kept."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize("wanted", [False, True])
def test_tokens_that_nobody_asks_for_are_not_kept_for_the_backward_pass(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo, wanted: bool
) -> None:
    hierarchy = make_hierarchy(causal=("clip",)).train()
    saved: dict[tuple[str, int], list[weakref.ref[Kept]]] = {}
    current: list[tuple[str, int]] = []  # the level whose norm is computed, and the axes of what it gets

    def pack(tensor: Tensor) -> Kept:
        kept = Kept(tensor)
        if current:
            saved.setdefault(current[0], []).append(weakref.ref(kept))
        return kept

    for name in hierarchy.levels:
        norm = hierarchy.get_submodule(f"levels.{name}.norm")
        norm.register_forward_pre_hook(lambda _, given, name=name: current.append((name, given[0].ndim)))
        norm.register_forward_hook(lambda *_: current.clear())
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        units = hierarchy.encode(make_video(), tokens=wanted)
    alive = {call: {reference() is not None for reference in references} for call, references in saved.items()}
    # Summaries have two axes, tokens three.
    assert list(alive) == [("space", 2), ("space", 3), ("time", 2), ("time", 3), ("clip", 3)]
    for (name, axes), kept in alive.items():
        assert kept == {axes == 2 or name == "clip" or wanted}, (name, axes)
    assert len(units.tokens) == 3 * wanted


@pytest.mark.parametrize("batchnorm", [False, True])
def test_the_summary_is_the_last_state_that_has_something_to_predict(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo, batchnorm: bool
) -> None:
    levels = ("space", "time", "clip")
    units = make_hierarchy(levels, causal=levels, batchnorm=batchnorm).encode(make_video())
    assert torch.equal(units.summaries["space"], units.states["space"][:, :, PATCHES - 1])
    assert torch.equal(units.summaries["time"], units.states["time"][:, :, 1])
    assert torch.equal(units.summaries["clip"], units.states["clip"][:, :, 1])  # the only unit: the last but one of 3
    one_clip = make_hierarchy(("space", "time"), causal=levels, batchnorm=batchnorm)
    units = one_clip.encode(make_video(("space", "time")))
    assert torch.equal(units.summaries["time"], units.states["time"][:, :, 4])
    image = make_hierarchy(("backbone", "space"), causal=levels, batchnorm=batchnorm)
    units = image.encode(make_video(("backbone", "space")))
    assert torch.equal(units.summaries["space"], units.states["space"][:, :, PATCHES - 2])


class NumberingStem(nn.Module):
    """Patch p of frame t says `t * patches + p`, or `t`, in one-hot: a layer norm leaves it readable."""

    def __init__(self, frames: int, numbers_patches: bool) -> None:
        super().__init__()
        self.numbers = torch.arange(frames * PATCHES).view(frames, PATCHES)
        if not numbers_patches:
            self.numbers = self.numbers // PATCHES

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        return F.one_hot(self.numbers).float().expand(len(video_BTCHW), -1, -1, -1)


class Recorder(nn.Module):
    """A level that keeps what it was given, and whose summary is its first token."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens_BGND = torch.empty(0)

    def forward(self, tokens_BGND: Tensor) -> tuple[Tensor, Tensor]:
        self.tokens_BGND = tokens_BGND
        return tokens_BGND[:, :, 0], tokens_BGND

    @property
    def numbers_GN(self) -> list[list[int]]:
        numbers: list[list[int]] = self.tokens_BGND.argmax(dim=-1)[0].tolist()
        return numbers


def record(hierarchy: HierarchicalTransformer) -> dict[str, Recorder]:
    recorders = {name: Recorder() for name in hierarchy.levels}
    hierarchy.levels.update(recorders)
    return recorders


def test_units_are_chunks_in_the_order_of_time(make_hierarchy: MakeHierarchy, make_video: MakeVideo) -> None:
    for groups in HIERARCHIES:
        hierarchy = make_hierarchy(groups)
        frames = 6 if "time" in groups else 1
        hierarchy.stem = NumberingStem(frames, numbers_patches=False)
        levels = record(hierarchy)
        hierarchy(make_video(groups))
        assert levels["space"].numbers_GN == [[t] * PATCHES for t in range(frames)]
        if "clip" in groups:
            assert levels["time"].numbers_GN == [[0, 1], [2, 3], [4, 5]]
            assert levels["clip"].numbers_GN == [[0, 2, 4]]
        elif "time" in groups:
            assert levels["time"].numbers_GN == [[0, 1, 2, 3, 4, 5]]
        hierarchy.stem = NumberingStem(frames, numbers_patches=True)
        summaries = hierarchy(make_video(groups))
        assert levels["space"].numbers_GN == torch.arange(frames * PATCHES).view(frames, PATCHES).tolist()
        if "backbone" in groups:
            assert summaries["backbone"].argmax(dim=-1)[0].tolist() == list(range(frames * PATCHES))


def test_the_input_of_a_level_is_layer_normalised_and_noisy_in_training(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo
) -> None:
    groups = ("backbone", "space", "time", "clip")
    below = {"space": "backbone", "time": "space", "clip": "time"}
    for training, std in ((True, 0.25), (True, 0.0), (False, 0.25)):
        hierarchy = make_hierarchy(groups, noise=std).train(training)
        levels = record(hierarchy)
        units = hierarchy.encode(make_video(groups, batch=50))
        for name, recorder in levels.items():
            from_below = units.summaries[below[name]].double()
            centred = from_below - from_below.mean(dim=-1, keepdim=True)
            expected = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
            noise = recorder.tokens_BGND.flatten(1, 2).double() - expected
            if training and std:
                assert noise.std().item() == pytest.approx(std, rel=0.1)
                assert noise.mean().item() == pytest.approx(0, abs=0.02)
            else:
                assert noise.abs().max() < 1e-5


def test_patches_that_are_part_of_space_reach_it_as_they_are(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo
) -> None:
    hierarchy = make_hierarchy(("space", "time"), noise=0.25, batchnorm=True).train()
    given: list[Tensor] = []
    hierarchy.levels["space"].register_forward_pre_hook(lambda _, tokens: given.extend(tokens))
    patches_BTPD = hierarchy.encode(make_video(("space", "time"))).patches_BTPD
    assert torch.equal(given[0], patches_BTPD)
    assert torch.equal(patches_BTPD, hierarchy.stem(make_video(("space", "time"))))


@pytest.mark.parametrize("groups", HIERARCHIES)
@pytest.mark.parametrize("causal", [(), ("space", "time", "clip")])
def test_batchnorm_standardises_all_units_of_a_level(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo, groups: tuple[str, ...], causal: tuple[str, ...]
) -> None:
    # LeCun's weights: torch's own leave so little variance that the BatchNorm's epsilon shows.
    hierarchy = make_hierarchy(groups, causal=causal, batchnorm=True, weight_init="lecun").train()
    units = hierarchy.encode(make_video(groups, batch=8))
    assert set(units.states) == set(causal) & set(groups)
    # Of a causal level, all states are standardised together; its summaries are some of them.
    for vectors in (units.summaries | units.states).values():
        flat = vectors.flatten(0, -2)
        torch.testing.assert_close(flat.mean(dim=0), torch.zeros(flat.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(flat.var(dim=0, unbiased=False), torch.ones(flat.shape[1]), atol=1e-3, rtol=0)


def test_the_scale_of_a_level_does_not_matter_to_the_level_above(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo
) -> None:
    hierarchy = make_hierarchy().eval()
    before = hierarchy(make_video())
    with torch.no_grad():
        for parameter in hierarchy.get_submodule("levels.space.norm").parameters():
            parameter.mul_(50)
    after = hierarchy(make_video())
    torch.testing.assert_close(after["space"], 50 * before["space"], atol=1e-4, rtol=1e-4)
    for level in ("time", "clip"):
        torch.testing.assert_close(after[level], before[level], atol=1e-3, rtol=1e-3)


def test_lecun_weights_are_for_every_linear_layer_and_convolution(make_hierarchy: MakeHierarchy) -> None:
    hierarchy = make_hierarchy(stem="cnn", temporal=True, weight_init="lecun")
    layers = [module for module in hierarchy.modules() if isinstance(module, nn.Linear | nn.Conv3d)]
    assert sum(isinstance(layer, nn.Conv3d) for layer in layers) == 5
    for layer in layers:
        inputs = layer.weight[0].numel()
        assert layer.weight.std().item() * inputs**0.5 == pytest.approx(1, abs=4 * (2 * layer.weight.numel()) ** -0.5)
        assert layer.bias is None or not layer.bias.any()


LEVEL = [
    "summary_token_D",
    "project.weight",
    "project.bias",
    "positions.table_ND",
    "blocks.0.attention_norm.weight",
    "blocks.0.attention_norm.bias",
    "blocks.0.attention.to_qkv.weight",
    "blocks.0.attention.to_out.weight",
    "blocks.0.attention.to_out.bias",
    "blocks.0.mlp_norm.weight",
    "blocks.0.mlp_norm.bias",
    "blocks.0.mlp.0.weight",
    "blocks.0.mlp.0.bias",
    "blocks.0.mlp.3.weight",
    "blocks.0.mlp.3.bias",
    "norm.weight",
    "norm.bias",
]


def plain(dims: Sequence[int]) -> HierarchicalTransformer:
    """With every option off: what older checkpoints and published numbers stand on."""
    numbers = {"layers": 1, "heads": 2, "head_dim": 4, "mlp_dim": 18, "dropout": 0.0, "position_embedding": "learned"}
    off = {"stochastic_depth": 0.0, "causal_mask": False}
    return HierarchicalTransformer(
        {name: {"dim": dim} | numbers | off for name, dim in zip(("space", "time"), dims[1:], strict=True)},
        geometry=Geometry(("space", "time"), (2, 3), frames_per_clip=6, clips=1),
        stem=build_stem("linear", 4, dims[0], False, 0.1),
        stem_dim=dims[0],
        weight_init=dict.fromkeys(("backbone", "space", "time"), "torch"),
        next_token=True,
        isolation="strict",
        interlevel_noise=0.0,
        output_batchnorm=False,
        batchnorm_momentum=0.1,
    )


def test_a_plain_hierarchy_keeps_its_names_and_the_order_of_its_draws() -> None:
    torch.manual_seed(5)
    state = plain((14, 16, 20)).state_dict()
    names = ["stem.project.weight", "stem.project.bias"]
    names += [f"levels.{level}.{name}" for level in ("space", "time") for name in LEVEL]
    assert list(state) == names

    torch.manual_seed(5)
    drawn: dict[str, Tensor] = {}

    def draw(name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        linear = nn.Linear(inputs, outputs, bias=bias)
        drawn.update({f"{name}.{key}": value for key, value in linear.state_dict().items()})

    draw("stem.project", 48, 14)
    for level, inputs, dim, places in (("levels.space", 14, 16, 6), ("levels.time", 16, 20, 6)):
        draw(f"{level}.project", inputs, dim)
        drawn[f"{level}.positions.table_ND"] = torch.randn(places, dim)
        drawn[f"{level}.summary_token_D"] = torch.randn(dim)
        draw(f"{level}.blocks.0.attention.to_qkv", dim, 24, bias=False)
        draw(f"{level}.blocks.0.attention.to_out", 8, dim)
        draw(f"{level}.blocks.0.mlp.0", dim, 18)
        draw(f"{level}.blocks.0.mlp.3", 18, dim)
    assert {name for name in state if "norm" not in name} == set(drawn)
    for name, value in drawn.items():
        assert torch.equal(state[name], value), name


def test_the_state_of_every_kind_loads_into_another_of_its_kind(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo
) -> None:
    groups = ("backbone", "space", "time", "clip")
    options = {"causal": ("time",), "stem": "cnn", "temporal": True, "batchnorm": True}
    first = make_hierarchy(groups, **options).train()
    first(make_video())
    second = make_hierarchy(groups, **options)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(1)
    second.load_state_dict(first.state_dict())
    for a, b in zip(first.eval()(make_video()).values(), second.eval()(make_video()).values(), strict=True):
        assert torch.equal(a, b)


def test_under_autocast_units_are_close_to_those_in_float32(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo
) -> None:
    hierarchy = make_hierarchy(
        ("backbone", "space", "time", "clip"), causal=("time",), stem="cnn", batchnorm=True, isolation="overlap"
    ).train()
    exact = hierarchy(make_video(batch=8))
    with torch.autocast("cpu", torch.bfloat16):
        rough = hierarchy(make_video(batch=8))
    for name in exact:
        assert rough[name].dtype == torch.float32
        assert F.cosine_similarity(rough[name], exact[name], dim=-1).mean() > 0.99


@pytest.mark.parametrize("last", ["backbone", "space", "time", "clip"])
def test_what_is_encoded_up_to_a_level_is_the_lower_part_of_the_whole(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo, last: str
) -> None:
    groups = ("backbone", "space", "time", "clip")
    hierarchy = make_hierarchy(groups, causal=("space", "clip")).eval()
    called: list[str] = []
    for name, level in hierarchy.levels.items():
        level.register_forward_hook(lambda *_, name=name: called.append(name))
    part = hierarchy.encode(make_video(), last, tokens=True)
    assert list(part.summaries) == list(groups[: groups.index(last) + 1])
    assert called == list(part.summaries)[1:]
    whole = hierarchy.encode(make_video())
    assert list(whole.summaries) == list(groups)
    assert torch.equal(part.patches_BTPD, whole.patches_BTPD)
    assert all(torch.equal(units, whole.summaries[name]) for name, units in part.summaries.items())
    assert list(part.tokens) == list(part.summaries)
    assert list(part.states) == [name for name in ("space", "clip") if name in part.summaries]
    assert all(torch.equal(states, whole.states[name]) for name, states in part.states.items())


def test_the_units_of_several_batches_are_told_apart(make_hierarchy: MakeHierarchy, make_video: MakeVideo) -> None:
    hierarchy = make_hierarchy(("backbone", "space", "time", "clip"), causal=("time",)).eval()
    videos = [make_video(seed=seed) for seed in (1, 2, 3)]
    chunks = hierarchy.encode(torch.cat(videos), tokens=True).chunk(3)
    assert len(chunks) == 3
    for video, chunk in zip(videos, chunks, strict=True):
        alone = hierarchy.encode(video, tokens=True)
        torch.testing.assert_close(chunk.patches_BTPD, alone.patches_BTPD)
        torch.testing.assert_close(chunk.summaries, alone.summaries)
        torch.testing.assert_close(chunk.states, alone.states)
        torch.testing.assert_close(chunk.tokens, alone.tokens)
        assert list(chunk.states) == ["time"]
    assert not torch.allclose(chunks[0].summaries["clip"], chunks[1].summaries["clip"])


def test_weights_are_chosen_level_by_level(make_hierarchy: MakeHierarchy) -> None:
    hierarchy = make_hierarchy(weight_init={"backbone": "lecun", "space": "torch", "time": "lecun", "clip": "torch"})
    for name in ("stem", "levels.space", "levels.time", "levels.clip"):
        biases = [layer.bias for layer in hierarchy.get_submodule(name).modules() if isinstance(layer, nn.Linear)]
        lecun = {bool(bias.any()) for bias in biases if bias is not None} == {False}
        assert lecun == (name in ("stem", "levels.time")), name
