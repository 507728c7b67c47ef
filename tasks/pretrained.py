"""A trained encoder in one line: `load_encoder("outputs/quickstart")`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from architecture.conditioned_transformer import ConditionedTransformer
from architecture.encoder import Features, Inputs, Tokens
from config.errors import InputError
from config.load import restore_config
from config.places import place
from config.schema import Config
from data_utils.video_files.cover import cover
from data_utils.views.normalise import normalise
from data_utils.views.views import middle_view
from runs.pretrained import find_encoder, load_weights, read_description, read_weights
from tasks.encoder import Network, build_network

_KEY = "load_encoder"  # what messages begin with


def load_encoder(run: str | Path) -> TrainedEncoder:
    """The encoder that a run has left, on the CPU and in evaluation mode, whatever the task and the network.

    Random numbers of the process stay as they are.

    Args:
        run: the run's folder, or its `checkpoints/encoder.safetensors`, beside which `encoder.json` lies.

    Raises:
        InputError: there is no encoder, a file is damaged, or one does not fit the other.
    """
    weights_file = find_encoder(place(run, _KEY), _KEY)
    description = read_description(weights_file, _KEY)
    config = restore_config(description["config"], f"{_KEY}: {weights_file.with_suffix('.json')}")
    weights = read_weights(weights_file, _KEY)
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    load_weights(network, weights, weights_file, _KEY)
    if isinstance(network, ConditionedTransformer):
        from tasks.pretrained_language import LanguageEncoder  # it builds on this module

        return LanguageEncoder(network, config).eval()
    return TrainedEncoder(network, config).eval()


class TrainedEncoder(nn.Module):
    """An encoder that takes pixels: crops and normalises them as evaluation does, then encodes.

    Frames of another size than the encoder's are scaled to cover `inputs.read_size`, cut to its centre, and cropped as
    `eval_crop` of the run's config says; of `three` crops, which evaluation takes for windows of their own, it is the
    one in the middle.

    Args:
        network: takes normalised windows of `frame_size`.
        config: what it was trained with, `mean` and `std` filled in.

    Raises:
        InputError: the config does not say how pixels are normalised.
    """

    def __init__(self, network: Network, config: Config) -> None:
        super().__init__()
        if config.mean is None or config.std is None:
            raise InputError(f"{_KEY}: the encoder's config has no mean and std")
        self.network, self.config = network, config
        window, (height, width) = config.window, config.frame_size
        self.inputs = Inputs(
            frames=window.length,
            sampling=window.sampling,
            frequency=window.frequency,
            frequency_fps=window.frequency_fps,
            read_size=config.read_size,
            frame_size=(height, width),
            mean=tuple(config.mean),
            std=tuple(config.std),
        )

    def forward(self, video_BTCHW: Tensor) -> Features:
        """The features of windows, by level.

        Args:
            video_BTCHW: [B, T, 3, H, W], RGB: uint8, or float in [0, 1], which is rounded to uint8 as all that the
                encoder was trained on. T is `inputs.frames`, taken from the video as `inputs.sampling` says; frames may
                have any size. It may be on another device than the encoder.

        Returns:
            By level, lowest first: [B, units, width].

        Raises:
            InputError: the video has another shape, type or range.
        """
        features: Features = self.network(self.normalised(video_BTCHW))
        return features

    def features_and_tokens(self, video_BTCHW: Tensor) -> tuple[Features, Tokens]:
        """The features of `forward`, and by level the tokens inside its units: [B, units, tokens, width]."""
        return self.network.features_and_tokens(self.normalised(video_BTCHW))

    @torch.no_grad()
    def normalised(self, video_BTCHW: Tensor) -> Tensor:
        """The network's input for windows: [B, T, 3, *frame_size], float32, on the network's device.

        Args:
            video_BTCHW: see `forward`.
        """
        _check_video(video_BTCHW, self.inputs.frames)
        pixels = video_BTCHW
        if pixels.is_floating_point():
            pixels = pixels.float().mul(255).round_().to(torch.uint8)
        pixels = _covering(pixels, self.inputs.read_size).to(next(self.network.parameters()).device)
        return normalise(middle_view(pixels, self.config), self.inputs.mean, self.inputs.std)


def _check_video(video: Tensor, frames: int) -> None:
    """Raises InputError where `video` is not [B, T, 3, H, W] pixels of `frames` frames."""
    wanted = f"expected [B, {frames}, 3, H, W], uint8 or float in [0, 1]"
    if not isinstance(video, Tensor):
        raise InputError(f"video: {wanted}, got a {type(video).__name__}, not a torch.Tensor")
    shape = list(video.shape)
    if video.ndim == 4:
        raise InputError(f"video: {wanted}, got {shape}; video[None] makes one window a batch")
    if video.ndim != 5 or 0 in shape:
        raise InputError(f"video: {wanted}, got {shape}")
    if shape[2] != 3:
        advice = "; video.permute(0, 1, 4, 2, 3) moves the channels" if shape[4] == 3 else ""
        raise InputError(f"video: {wanted}, got {shape[2]} channels in {shape}{advice}")
    if shape[1] != frames:
        raise InputError(f"video: {wanted}, got {shape[1]} frames in {shape}; the encoder takes windows of {frames}")
    if video.dtype == torch.uint8:
        return
    if not video.is_floating_point():
        raise InputError(f"video: {wanted}, got {video.dtype}; video.to(torch.uint8) does where pixels are 0 to 255")
    least, largest = (float(value) for value in video.detach().aminmax())
    if not (least >= 0 and largest <= 1):  # NaN too
        advice = "video / 255 has pixels in [0, 1]" if least >= 0 else "the encoder normalises pixels itself"
        raise InputError(f"video: {wanted}, got floats from {least:g} to {largest:g}; {advice}")


def _covering(pixels_BTCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames scaled to cover `size` and cut to its centre, by what stored frames are read with; uint8 to uint8."""
    if tuple(pixels_BTCHW.shape[-2:]) == size:
        return pixels_BTCHW
    pictures = pixels_BTCHW.flatten(0, 1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    covered = np.stack([cover(picture, size) for picture in pictures])
    covered_BTCHW: Tensor = torch.from_numpy(covered).permute(0, 3, 1, 2).unflatten(0, pixels_BTCHW.shape[:2])
    return covered_BTCHW
