from __future__ import annotations

import torch

from architecture.caption_decoder import CaptionDecoder, FramesDecoder
from architecture.conditioned_transformer import ConditionedTransformer
from architecture.depth import depth_of
from architecture.frame_encoder import RESNET_DIM, FrameEncoder, FrameResNet
from architecture.joint_transformer import JointTransformer


def joint(frames: int) -> JointTransformer:
    sizes = {"frame_size": (16, 16), "patch_size": 8, "tubelet": 1}
    return JointTransformer("clip", frames=frames, **sizes, dim=8, layers=3, heads=2, mlp_dim=8, positions="2d")  # type: ignore[arg-type]


def test_the_layers_of_an_encoder_that_reads_captions_are_those_of_its_features() -> None:
    decoder = FramesDecoder(8, (2, 2, 2), 192, dim=8, layers=1, heads=2, mlp_dim=8, positions="2d")
    encoder = ConditionedTransformer(joint(2), 2, 6, 4, CaptionDecoder(decoder, 6, 8, 5))
    known = {id(parameter): name for name, parameter in encoder.named_parameters()}
    depth = depth_of(encoder, "clip")
    layers = [{known[id(parameter)] for parameter in layer} for layer in depth.layers]
    beside = {"project.weight", "project.bias", "image_D", "word_D", "frame_FD"}
    assert layers[0] == {"joint.embedding.weight", "joint.embedding.bias", *beside}
    assert [all(name.startswith(f"joint.blocks.{n}.") for name in layers[n + 1]) for n in range(3)] == [True] * 3
    in_layers = set().union(*layers) | {known[id(parameter)] for parameter in depth.last_norm}
    assert set(known.values()) - in_layers == {name for name in known.values() if name.startswith("decoder.")}
    assert depth.rates(0.75)[id(encoder.joint.norm.weight)] == 1  # as the head's: the published code was off by one


def test_the_layers_of_a_frame_encoder_are_those_of_its_network() -> None:
    encoder = FrameEncoder(joint(5), 8)
    of_block = len(list(joint(1).blocks[0].parameters()))
    assert [len(layer) for layer in depth_of(encoder, "clip").layers] == [2, *[of_block] * 3]
    resnet = FrameEncoder(FrameResNet("clip", 0.3), RESNET_DIM)
    depth = depth_of(resnet, "clip")
    assert len(depth.layers) == 5
    assert sum(len(layer) for layer in depth.layers) == len(list(resnet.parameters()))
    momenta = {module.momentum for module in resnet.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert momenta == {0.3}
