"""Encoders give units of windows, scores are of videos: here every view is encoded, once for all protocols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import torch
from torch import nn

from config.schema import Config
from data_utils.batches.loader import Batch, Loader
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import EvaluationViews, evaluation_views
from parallel.group import Group, joined
from protocols.encoded_split import EncodedSplit
from protocols.encoding_in_shares import EncodeRequest, Teller, all_pieces, read_request, send_pieces
from protocols.feature_places import FeaturePlace
from protocols.split_arrays import EncodedViews, SplitArrays
from runs.precision import autocast_dtype

if TYPE_CHECKING:
    from protocols.window_memory import WindowMemory


def evaluation_batches(
    catalog: Catalog,
    config: Config,
    bad_videos: BadVideos | Teller,
    first_batch: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """The batches of a split in order, without those of which nothing could be read.

    Processes that decode live as long as this does.

    Args:
        catalog: the split.
        config: which windows, and how they are read.
        bad_videos: is told what cannot be read.
        first_batch: where to begin.
        share: (r, n): every n-th batch, the r-th of n processes beginning with number r, from 0.
    """
    loader = Loader(catalog, config, config.batch_size, config.seed, training=False, share=share)
    with closing(loader):
        for batch in loader.epoch(0, first_batch):
            bad_videos.add(catalog.failures(batch.failed))
            if len(batch.row_B):
                yield batch


def encode_split(
    encoder: nn.Module,
    catalog: Catalog,
    config: Config,
    device: torch.device,
    bad_videos: BadVideos,
    batches: Iterable[Batch] | None = None,
    place: FeaturePlace | None = None,
) -> EncodedSplit:
    """Encodes every evaluation window and crop of a split; the means of each video and part are there, too.

    Of the processes of a run, the first one alone calls this, and the others encode their shares.

    Args:
        encoder: gives Features; left in the mode that it was in.
        catalog: the split.
        config: the whole config.
        device: where the encoder is.
        bad_videos: is told what cannot be read.
        batches: the windows, of several processes those of the first one's share; None, or where an interrupted
            extraction is gone on with: they are read.
        place: where features lie that take too much memory; None: they stay in memory.

    Raises:
        InputError: no video is left, too many cannot be read, or the disk is full.
    """
    arrays = SplitArrays(catalog, config, place)
    if not arrays.is_whole:
        first = arrays.batches
        group = joined()
        if batches is None or first:
            batches = evaluation_batches(catalog, config, bad_videos, first, (0, group.size))
        pieces = _encoded(encoder, batches, arrays, config, device)
        if group.size > 1:
            group.ask(EncodeRequest.of(encoder, catalog, config, first))
            pieces = all_pieces(pieces, group, bad_videos)
        for number, views, found in pieces:
            arrays.add(number, views, found)
        arrays.end()
    return arrays.split()


def encode_share(request: EncodeRequest, group: Group, device: torch.device, memory: WindowMemory) -> None:
    """Encodes what the first process has asked this one for.

    Args:
        request: of the first process.
        group: the processes.
        device: where to compute.
        memory: may have the windows, and gets those that fit.
    """
    encoder, config = read_request(request, device)
    teller, share = Teller(group), (group.rank, group.size)
    if request.first_batch:
        batches = evaluation_batches(request.catalog, config, teller, request.first_batch, share)
    else:
        batches = memory.batches(request.windows, request.catalog, config, teller, share)
    arrays = SplitArrays(request.catalog, config, None)
    send_pieces(_encoded(encoder, batches, arrays, config, device), group)


@torch.no_grad()
def _encoded(
    encoder: nn.Module, batches: Iterable[Batch], arrays: SplitArrays, config: Config, device: torch.device
) -> Iterator[tuple[int, EvaluationViews, EncodedViews]]:
    """Every batch with its number, on the CPU."""
    dtype = autocast_dtype(config, device)
    was_training = encoder.training
    encoder.eval()
    before: tuple[int, EvaluationViews, EncodedViews] | None = None
    try:
        for batch in batches:
            views = evaluation_views(batch, config, device)
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                features = encoder(views.video_BTCHW)
            latest = batch.number, views, arrays.reduced(batch.number, views, features)
            # The batch before is fetched while the device computes this one.
            if before is not None:
                yield before[0], before[1], before[2].on_cpu()
            before = latest
        if before is not None:
            yield before[0], before[1], before[2].on_cpu()
    finally:
        encoder.train(was_training)
