"""Videos as points in the features of every level, with what is known of each and a picture: for a projector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional as F

from config.schema import Config
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoded_split import EncodedSplit
from protocols.encoding import evaluation_batches
from protocols.evaluation import EvaluationData
from runs.process.seeds import numpy_generator
from runs.tracking.tracker import EmbeddedVideos

THUMBNAIL_SIDE = 48
"""Pixels."""
_GREY = 128


def embed_videos(test: EncodedSplit, data: EvaluationData, most: int) -> EmbeddedVideos:
    """Test videos as an encoder sees them.

    Args:
        test: the test split, encoded.
        data: that it is of.
        most: so many videos at most; with as many in the figures, these are the same.
    """
    drawn = numpy_generator(data.config.seed, len(test.rows)).permutation(len(test.rows))
    chosen_M = np.sort(drawn[:most])
    whole = data.catalogs["test"]
    keep_N = np.zeros(len(whole.table), np.bool_)
    keep_N[test.rows[chosen_M]] = True
    catalog = whole.with_rows(keep_N)
    texts = {"path": [str(path) for path in catalog.table["path"]]}
    for name, label_set in catalog.labels.items():
        texts[name] = [label_set.text(row) for row in range(len(catalog.table))]
    return EmbeddedVideos(
        {level: features_NKD[chosen_M, 0] for level, features_NKD in test.features[1].items()},
        texts,
        thumbnails(catalog, data.config, data.bad_videos),
    )


def thumbnails(catalog: Catalog, config: Config, bad_videos: BadVideos) -> NDArray[np.uint8]:
    """A frame from the middle of each video, cut to a square: [N, 3, H, H]; grey where it cannot be read any more."""
    config = config.model_copy(update={"window": config.window.model_copy(update={"eval_windows": 1})})
    pictures_NCHW = np.full((len(catalog.table), 3, THUMBNAIL_SIDE, THUMBNAIL_SIDE), _GREY, np.uint8)
    for batch in evaluation_batches(catalog, config, bad_videos):
        frames_BCHW = batch.video_BTCHW[:, config.window.length // 2]
        height, width = frames_BCHW.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        squares_BCHW = frames_BCHW[..., top : top + side, left : left + side].float()
        small_BCHW = F.interpolate(squares_BCHW, THUMBNAIL_SIDE, mode="bilinear", antialias=True)
        pictures_NCHW[batch.row_B.numpy()] = small_BCHW.round().clamp(0, 255).byte().numpy()
    return pictures_NCHW
