"""The joint transformer of a config, in all the places where any encoder goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from architecture.attention_maps import attention_weights, feature_attention
from architecture.carry_over import carried_tensors, plan_carry_over
from architecture.depth import depth_of
from architecture.joint_transformer import JointTransformer
from architecture.vit_blocks import JointAttention, ViTBlock
from config.errors import InputError
from config.load import load_config
from config.schema import Config
from data_utils.catalog.catalog import Catalog
from export import main as export_main
from protocols.finetuning.copying import parameters_of_levels, trainable_copy
from runs.checkpoint import save_encoder
from tasks import build_task
from tasks.carrying import networks_of
from tasks.encoder import build_encoder, build_network, feature_dim
from tasks.encoder_checkpoint import load_encoder_checkpoint
from tasks.pretrained import load_encoder

MakeConfig = Callable[..., Config]
JOINT = ("task=masked", "encoder=joint")


def make(tiny_config: MakeConfig, *overrides: str) -> JointTransformer:
    torch.manual_seed(0)
    network = cast(JointTransformer, build_network(tiny_config(*JOINT, *overrides))).eval()
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return network


def make_video(batch: int = 2) -> Tensor:
    return torch.randn(batch, 6, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def test_every_number_of_the_section_reaches_the_network(tiny_config: MakeConfig) -> None:
    config = tiny_config(
        *JOINT,
        "joint={dim: 24, layers: 3, heads: 4, mlp_dim: 36, tubelet: 3, patch_size: 4, positions: 1d, cls_token: true}",
        "joint={norm: rms, mlp: swiglu, qkv_bias: false, layer_scale: 0.3, drop_path: 0.3, features: cls}",
    )
    network = cast(JointTransformer, build_network(config))
    assert (network.grid, network.dim, len(network.blocks), feature_dim(config, "clip")) == ((2, 4, 6), 24, 3, 24)
    last = cast(ViTBlock, network.blocks[2])
    assert last.attention.heads == 4
    assert last.attention.to_qkv.bias is None
    assert last.mlp.to_hidden.out_features == 2 * 36
    assert isinstance(last.mlp_norm, torch.nn.RMSNorm)
    assert torch.equal(last.mlp_scale.scale_D, torch.full((24,), 0.3))
    assert last.skip == pytest.approx(0.3)
    assert (network.features, network.tubelet, network.patch_size) == ("cls", 3, 4)
    assert network.cls_D is not None
    assert config.model_dump()["joint"]["mlp"] == "swiglu"
    assert "hierarchy" not in config.model_dump(exclude_none=True)


def test_layers_are_the_embedding_and_the_blocks_and_the_norm_learns_as_fast_as_the_head(
    tiny_config: MakeConfig,
) -> None:
    network = make(tiny_config, "joint.cls_token=true", "joint.layers=3")
    rates = {name: depth_of(network, "clip").rates(0.5)[id(p)] for name, p in network.named_parameters()}
    assert rates["norm.weight"] == rates["norm.bias"] == 1.0
    assert rates["blocks.2.mlp.0.weight"] == 0.5
    assert rates["blocks.0.attention.to_qkv.weight"] == 0.5**3
    assert rates["embedding.weight"] == rates["cls_D"] == 0.5**4
    assert len(rates) == len(list(network.parameters()))


def test_a_copy_is_fine_tuned_as_a_whole_with_drop_path(tiny_config: MakeConfig) -> None:
    network = make(tiny_config, "joint.layers=4")
    copied = trainable_copy(network, "clip", 0.4)
    assert [b.skip for b in copied.modules() if isinstance(b, ViTBlock)] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert all(block.skip == 0 for block in network.modules() if isinstance(block, ViTBlock))
    assert parameters_of_levels(copied, ["clip"]) == {id(p) for p in copied.parameters()}


@pytest.mark.parametrize("options", [(), ("joint.cls_token=true",), ("joint.cls_token=true", "joint.features=cls")])
def test_what_features_attend_to(tiny_config: MakeConfig, options: tuple[str, ...]) -> None:
    network, video = make(tiny_config, *options).train(), make_video()
    maps = feature_attention(network, video)
    assert network.training
    assert not any(module._forward_pre_hooks for module in network.modules())
    network.eval()
    inputs: list[Tensor] = []
    attention = cast(JointAttention, network.blocks[1].attention)
    handle = attention.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    network(video)
    handle.remove()
    weights_BNN = attention_weights(attention, inputs[0]).mean(dim=1)
    first = 1 if "joint.cls_token=true" in options else 0
    row_BN = weights_BNN[:, 0] if len(options) == 2 else weights_BNN[:, first:].mean(dim=1)
    torch.testing.assert_close(maps.last_BGN[:, 0], row_BN[:, first:])
    assert maps.rollout_BGN.shape == (2, 1, 18)
    assert (maps.rollout_BGN.sum(dim=-1) <= 1 + 1e-5).all()


def test_weights_follow_to_larger_patches_and_longer_windows(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog]
) -> None:
    before, now = tiny_config(*JOINT, "joint.patch_size=4"), tiny_config(*JOINT, "window.length=8")
    old, new = (build_task(config, tiny_catalogs["train"]) for config in (before, now))
    networks = networks_of(new, now, before)
    plan = plan_carry_over(old.state_dict(), new.state_dict(), networks)
    assert [change.name for change in plan.resampled] == [
        "network.embedding.weight",
        "decoder.head.weight",
        "decoder.head.bias",
    ]
    assert not plan.new
    assert not plan.left
    assert not plan.reshaped
    new.load_state_dict(carried_tensors(plan, old.state_dict(), new.state_dict(), networks))
    # The embedding takes the same of a tubelet that has been enlarged.
    small = torch.randn(1, 6, 4, 4)  # channels of both frames
    large = F.interpolate(small, size=(8, 8), mode="bilinear")
    one, other = (
        cast(JointTransformer, task.encoder).embedding(tubelet.permute(0, 2, 3, 1).flatten(1))
        for task, tubelet in ((old, small), (new, large))
    )
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_it_starts_from_a_runs_encoder_and_from_no_file_of_torchvision(tiny_config: MakeConfig, tmp_path: Path) -> None:
    network, config = make(tiny_config), tiny_config(*JOINT)
    save_encoder(network.state_dict(), {"config": config.model_dump(), "step": 1}, tmp_path)
    started = tiny_config("task=supervised", "encoder=joint", f"encoder_checkpoint={tmp_path}/encoder.safetensors")
    loaded = build_encoder(started)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in loaded.state_dict().items())
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    other = tiny_config(*JOINT, f"encoder_checkpoint={tmp_path}/weights.pth")
    with pytest.raises(InputError, match="joint encoder starts from a run"):
        load_encoder_checkpoint(network, other)
    wider = tiny_config(*JOINT, "joint.dim=24", f"encoder_checkpoint={tmp_path}/encoder.safetensors")
    with pytest.raises(InputError) as info:
        build_encoder(wider)
    assert "\n" not in str(info.value)


def test_other_programs_read_it(tiny_config: MakeConfig, tmp_path: Path) -> None:
    config, network = tiny_config(*JOINT, "joint.cls_token=true"), make(tiny_config, "joint.cls_token=true")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    save_encoder(network.state_dict(), {"config": config.model_dump(), "step": 1}, tmp_path / "run" / "checkpoints")
    exported, script = tmp_path / "encoder.pt2", tmp_path / "encoder.pt"
    arguments = ["--torch-export", str(exported), "--torchscript", str(script)]
    assert export_main([str(tmp_path / "run"), *arguments]) == 0
    pixels = torch.randint(0, 256, (3, 6, 3, 16, 24), dtype=torch.uint8)
    with torch.no_grad():
        own = load_encoder(tmp_path / "run")(pixels)["clip"].numpy()
        for program in (torch.export.load(exported).module(), torch.jit.load(script)):
            (found,) = program(pixels) if isinstance(program(pixels), (tuple, list)) else (program(pixels),)
            np.testing.assert_allclose(found.numpy(), own, atol=1e-5)


def test_data_of_another_size_is_refused_before_anything_runs(tiny_config: MakeConfig) -> None:
    other = "evaluations={other: {protocol: knn, when: [test], data: {window: {length: 4}}}}"
    with pytest.raises(InputError, match=r"window\.length is 4, but the encoder takes 6 alone"):
        tiny_config(*JOINT, other)


@pytest.mark.parametrize(
    ("name", "shown", "hidden", "millions"), [("mae_image", 49, 147, 24.5), ("omnimae", 157, 1411, 94.2)]
)
def test_the_published_recipes(name: str, shown: int, hidden: int, millions: float) -> None:
    """Sizes, masks and rates of R-MVP and of OmniMAE's stage 1, on the device that holds shapes alone."""
    config = load_config(name).config
    with torch.device("meta"):
        task = build_task(config, cast(Catalog, None))
    assert sum(p.numel() for p in task.parameters()) / 1e6 == pytest.approx(millions, abs=0.3)
    mask = task.fixed_mask(torch.zeros(1, config.window.length, 1, 1, 1))  # type: ignore[operator]
    assert (mask.keep_BK.shape[1], mask.masked_BM.shape[1]) == (shown, hidden)
    assert (
        config.learning_rate
        == pytest.approx(config.optimizer.lr)
        == pytest.approx({"mae_image": 6e-4, "omnimae": 8e-4}[name])
    )
    assert config.clips_per_step == {"mae_image": 1024, "omnimae": 128}[name]
