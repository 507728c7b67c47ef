"""A split encoded by several processes: each takes every n-th batch, and the first one gets all of them in order.

Batches are those of one process, and so are the numbers, to the last bit where the devices are of one kind.
"""

from __future__ import annotations

import copy
import heapq
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from config.load import restore_config
from config.schema import Config
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import EvaluationViews
from parallel.group import Group
from protocols.split_arrays import EncodedViews

Failure = tuple[str, str, str]
"""Split, path and reason of a video that could not be read."""
Piece = tuple[int, EvaluationViews, EncodedViews]
"""A batch: its number, its views without their pixels, and what is kept of them."""


@dataclass(frozen=True)
class EncodeRequest:
    """Asks the other processes to encode their shares of a split."""

    encoder: nn.Module
    """On the CPU."""
    catalog: Catalog
    config: dict[str, Any]
    first_batch: int

    @classmethod
    def of(cls, encoder: nn.Module, catalog: Catalog, config: Config, first_batch: int) -> EncodeRequest:
        """A request that can be sent."""
        return cls(copy.deepcopy(encoder).cpu(), catalog, config.model_dump(), first_batch)

    @property
    def windows(self) -> int:
        """Names the windows that are read."""
        return hash(pickle.dumps((self.catalog, self.config)))


def all_pieces(own: Iterator[Piece], group: Group, bad_videos: Any) -> Iterator[Piece]:
    """The batches of all processes in their order; in the first process.

    Args:
        own: those of this process.
        group: the processes, which have been asked.
        bad_videos: is told what the others could not read.
    """
    others = [_pieces_of(rank, group, bad_videos) for rank in range(1, group.size)]
    yield from heapq.merge(own, *others, key=lambda piece: piece[0])


def _pieces_of(rank: int, group: Group, bad_videos: Any) -> Iterator[Piece]:
    for message in group.messages(rank):
        if isinstance(message, Unread):
            bad_videos.add(message.videos)
        else:
            yield message


@dataclass(frozen=True)
class Unread:
    """Tells the first process of videos that another one could not read."""

    videos: list[Failure]


@dataclass(frozen=True)
class Teller:
    """In another process in the place of the list of bad videos, which the first one keeps."""

    group: Group
    told: set[Failure] = field(default_factory=set)

    def add(self, videos: Iterable[Failure]) -> int:
        """Tells the first process of (split, path, reason); returns how many are new."""
        new = [video for video in videos if video not in self.told]
        if new:
            self.told.update(new)
            self.group.send(Unread(new))
        return len(new)


def send_pieces(pieces: Iterable[Piece], group: Group) -> None:
    """Sends the first process all batches of this one."""
    for number, views, found in pieces:
        group.send((number, replace(views, video_BTCHW=torch.empty(0)), found))
    group.send(None)


def read_request(request: EncodeRequest, device: torch.device) -> tuple[nn.Module, Config]:
    """The encoder of a request on `device`, and its config."""
    return request.encoder.to(device), restore_config(request.config, "the first process")
