"""Networks of torchvision in place of a run: pretrained on Kinetics-400, or with the weights of a file.

A network sees what its weights were evaluated with: torchvision's own transforms say the size of frames and how pixels
are normalised; the notes beside its weights, the frames of a window and how fast they follow each other. What the data
say themselves counts more. Two things differ: frames keep their shape, while torchvision squeezes those of S3D and
R(2+1)D-18, and S3D sees windows of 64 frames, on which it was trained, not of 128.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import torch

from architecture.torchvision_networks import TorchvisionName
from config.errors import InputError
from config.load import over_defaults
from config.places import place
from config.schema import Config
from config.spellings import respelled
from tasks.encoder import Network, build_network
from tasks.encoder_checkpoint import load_file

logger = logging.getLogger(__name__)

NAMES: tuple[str, ...] = get_args(TorchvisionName)
WINDOWS = {"s3d": (64, 15.0), "r2plus1d_18": (16, 15.0), "mvit_v2_s": (16, 7.5), "swin3d_t": (32, 15.0)}
"""Frames of a window, and frames per second of video."""
BATCH_SIZE = 8  # windows; those of a run are a hundred times as small
_SECONDS = 30  # without an answer, after which a download is given up
_DATA = "--dataset"  # where the data's keys come from, in messages


def split_name(given: str) -> tuple[str, str | None] | None:
    """The network, and the file of weights if there is one, of `NAME` or `NAME:FILE`; None of anything else."""
    name, colon, file = given.partition(":")
    return (name, file if colon else None) if name in NAMES else None


def torchvision_config(name: str, weights: str | None, data: Mapping[str, Any]) -> Config:
    """The config that a network of torchvision is scored with: the defaults, and what its weights were made for.

    Args:
        name: one of `NAMES`.
        weights: a file of weights; None: torchvision's own.
        data: keys of data_config.yaml, which come first. With a `frame_size` of their own they decide on crops
            altogether, and with a `window.frequency` or a sampling of their own on the distance of frames.

    Raises:
        InputError: the data do not fit the network, or a key is wrong.
    """
    given, _ = respelled(data, _DATA)
    network = {
        "encoder": name,
        "encoder_checkpoint": weights,
        "task": "vicreg",  # nothing is trained: one that takes any encoder
        "model_name": name,
        "batch_size": BATCH_SIZE,
        "short_videos": "loop",  # as in Video Swin's evaluation: a window of seconds would leave many videos unscored
        "window": _window(name, given.get("window")),
        **_frames(name, given),
    }
    return over_defaults({f"torchvision's {name}": network, _DATA: given}).config


def _window(name: str, given: Any) -> dict[str, Any]:
    """The keys of `window` that the data leave to the network."""
    length, per_second = WINDOWS[name]
    own_distance = isinstance(given, Mapping) and (given.keys() & {"frequency", "sampling"})
    return {"length": length, "frequency_fps": None if own_distance else per_second}


def _frames(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Size, crop and normalisation, as torchvision's transforms have them."""
    transforms = _published(name).transforms()
    kept = {"mean": list(transforms.mean), "std": list(transforms.std)}
    if "frame_size" in given:  # these are other crops, of which the published ones say nothing
        return kept
    height, width = transforms.resize_size * 2 if len(transforms.resize_size) == 1 else transforms.resize_size
    crop = {"frame_size": list(transforms.crop_size), "load_size": [height, width], "eval_crop": "unscaled"}
    return kept | crop


def torchvision_network(config: Config) -> Network:
    """The network of `torchvision_config` with its weights, on the CPU and in evaluation mode.

    torchvision's own weights come from its cache, and are downloaded into it where they are not there.
    Random numbers of the process stay as they are.

    Raises:
        InputError: the weights cannot be had, are damaged, or are of another network.
    """
    name = config.encoder
    given = config.encoder_checkpoint
    path = place(given, name) if given is not None else cached_weights(name, _published(name).url)
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    try:
        load_file(network, path, name)
    except InputError as error:
        raise InputError(f"{error}; without {path} it is downloaded again" if given is None else str(error)) from None
    return network.eval()


def cached_weights(name: str, url: str) -> Path:
    """The file of a network's own weights in torchvision's cache, downloaded if it is not there.

    Args:
        name: of the network.
        url: where torchvision keeps the file; the end of its name is the beginning of its SHA-256.

    Raises:
        InputError: it is not in the cache and cannot be downloaded.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / url.rpartition("/")[2]
    if file.is_file():
        return file
    logger.info("downloading %s, the weights of %s, into %s", file.name, name, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _limited_waiting():
            torch.hub.download_url_to_file(url, str(file), file.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError) as error:  # no network, no place on the disk; another checksum
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{name}: {file.name} is not in {folder} and cannot be downloaded ({reason}); put it there, or say where "
            f"it is: {name}:FOLDER/{file.name}"
        ) from None
    return file


@contextmanager
def _limited_waiting() -> Iterator[None]:
    """Connections that get no answer are given up: behind some firewalls they would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _published(name: str) -> Any:
    """What torchvision knows of the weights that were trained on Kinetics-400: transforms, and where they lie."""
    from torchvision.models import get_model_weights

    return get_model_weights(name)["KINETICS400_V1"]
