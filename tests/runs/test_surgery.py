"""Weights under other names: what rules do, what they report, and that none passes unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from architecture.tubelets import to_tubelets
from config.errors import InputError
from config.schema import Config
from config.surgery import CheckpointRule
from runs.surgery import operated
from tasks.encoder import build_encoder, build_network

FILE = Path("weights.pth")
NAMES = ["trunk.blocks.0.weight", "trunk.blocks.1.weight", "trunk.norm.weight", "decoder.weight", "heads.0.weight"]


def weights() -> dict[str, Tensor]:
    return {name: torch.full((2,), float(number)) for number, name in enumerate(NAMES)}


def after(*rules: dict[str, str]) -> tuple[dict[str, Tensor], list[str]]:
    return operated(weights(), [CheckpointRule(**rule) for rule in rules], FILE, "encoder_checkpoint")


def test_rules_drop_keep_rename_and_prepend_one_after_another() -> None:
    found, report = after(
        {"drop": "heads.*"},
        {"keep": "trunk.*"},
        {"rename": "trunk.blocks.*.weight", "to": "layer*.w"},
        {"rename": "trunk.*", "to": "*"},
        {"prepend": "encoder."},
    )
    assert {name: tensor[0].item() for name, tensor in found.items()} == {
        "encoder.layer0.w": 0,
        "encoder.layer1.w": 1,
        "encoder.norm.weight": 2,
    }
    assert report == [
        "drop: heads.*: 1 of 5 tensors, heads.0.weight",
        "keep: trunk.*: 3 of 4 tensors, trunk.blocks.0.weight, trunk.blocks.1.weight, trunk.norm.weight",
        "rename: trunk.blocks.*.weight, to: layer*.w: 2 of 3 tensors, trunk.blocks.0.weight, trunk.blocks.1.weight",
        "rename: trunk.*, to: *: 1 of 3 tensors, trunk.norm.weight",
        "prepend: encoder.: 3 of 3 tensors, layer0.w, layer1.w, norm.weight",
    ]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        # The aligned checkpoints of PPMA have no decoder, and its scripts dropped one.
        (
            [{"drop": "decoder.*"}, {"drop": "decoder.*"}],
            r"drop: decoder\.\*: no tensor of .* matches; it has",
        ),
        ([{"keep": "body.*"}], r"keep: body\.\*: no tensor"),
        ([{"rename": "body.*", "to": "*"}], "no tensor"),
        ([{"rename": "trunk.norm.weight", "to": "decoder.weight"}], "two tensors .* would be called decoder.weight"),
        ([{"drop": "*"}], "nothing is left"),
    ],
)
def test_rules_that_do_nothing_or_too_much_are_errors(rules: list[dict[str, str]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        after(*rules)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "one of inside, drop, keep, rename, prepend and flatten, not none"),
        ({"drop": "a", "keep": "b"}, "not drop and keep"),
        ({"rename": "a.*"}, "rename and to belong together"),
        ({"rename": "a.*", "to": "b"}, r"give both as many \*"),
    ],
)
def test_a_rule_does_one_thing(tiny_config: Callable[..., Config], rule: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        tiny_config(f"encoder_checkpoint_rules=[{rule}]")


@pytest.mark.parametrize("frames", [2, 1])
def test_a_convolution_becomes_the_linear_layer_that_does_the_same(frames: int) -> None:
    # PPMA's encoders embed tubelets by a convolution of [768, 3, 2, 16, 16].
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(5, 3, frames, 4, 4, generator=generator, dtype=torch.float64)
    video_BTCHW = torch.randn(2, 3 * frames, 3, 8, 12, generator=generator, dtype=torch.float64)
    stored = kernel if frames == 2 else kernel[:, :, 0]
    other = torch.ones(2)
    rule = CheckpointRule(flatten="*.proj.weight")
    found, report = operated({"a.proj.weight": stored, "other": other}, [rule], FILE, "encoder_checkpoint")
    expected = F.conv3d(video_BTCHW.transpose(1, 2), kernel, stride=(frames, 4, 4)).flatten(2).mT
    assert torch.allclose(to_tubelets(video_BTCHW, frames, 4) @ found["a.proj.weight"].T, expected, atol=1e-12)
    assert found["other"] is other
    assert report == ["flatten: *.proj.weight: 1 of 2 tensors, a.proj.weight"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("*", r"trunk\.blocks\.0\.weight has the shape \[2\], which is no kernel"), ("body.*", "no tensor")],
)
def test_what_is_no_convolution_is_not_flattened(pattern: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        after({"flatten": pattern})


def test_an_encoder_starts_from_a_foreign_file(
    tiny_config: Callable[..., Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(5)
    source = build_network(tiny_config()).state_dict()
    foreign: dict[str, Any] = {f"trunk.{name}": tensor for name, tensor in source.items()}
    file = tmp_path / "ppma.pth"
    torch.save({"model": {"net": {**foreign, "heads.weight": torch.ones(3)}}, "epoch": 7}, file)
    rules = "[{inside: model}, {inside: net}, {drop: 'heads.*'}, {rename: 'trunk.*', to: '*'}]"
    config = tiny_config(f"encoder_checkpoint={file}", f"encoder_checkpoint_rules={rules}")
    with caplog.at_level("INFO"):
        encoder = build_encoder(config)
    assert all(torch.equal(tensor, source[name]) for name, tensor in encoder.state_dict().items())
    assert "drop: heads.*: 1 of" in caplog.text
    config = tiny_config(f"encoder_checkpoint={file}", "encoder_checkpoint_rules=[{inside: mode}]")
    with pytest.raises(InputError, match=r"inside: mode: .* has no such key but model, epoch"):
        build_encoder(config)
    config = tiny_config(f"encoder_checkpoint={file}", "encoder_checkpoint_rules=[{inside: model}, {inside: net}]")
    with pytest.raises(InputError, match="lacks stem"):
        build_encoder(config)
