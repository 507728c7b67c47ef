"""The features of any videos: python encode.py RUN VIDEO_OR_FOLDER --out features.npz [--search QUERY_VIDEO]."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from config.errors import InputError
from config.places import place
from runs.reporting.program import run_program

if TYPE_CHECKING:
    from config.schema import Config
    from encoding.feature_file import VideoFeatures
    from evaluation.encoders import ScoredEncoder

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Encodes videos, or searches among encoded ones, as the command line asks.

    Returns:
        The exit status: 0; 2 for bad input; 128 + the signal's number when a signal ended it.
    """
    return run_program(lambda: _run(_parser().parse_args(arguments)), "the same command goes on where it ended")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="encode.py",
        description="Write the features of every level for any videos, or find those that are most like another video.",
        epilog="docs/encoding.md has examples.",
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="the folder of a run, or an encoder.safetensors with its encoder.json beside it")
    add("videos", metavar="VIDEO_OR_FOLDER", nargs="?", help="what is encoded; a folder is searched at any depth")
    add("--out", type=Path, required=True, metavar="FILE", help="features.npz or features.parquet")
    add("--search", type=Path, metavar="VIDEO", help="print what in FILE is most like this video")
    add("--level", help="whose features are searched (default: the last one)")
    add("--count", type=int, default=10, metavar="N", help="how many are printed (default: 10)")
    add(
        "--windows",
        type=int,
        metavar="N",
        help="windows of a video at most (default: as the run is evaluated)",
    )
    add("--per-window", action="store_true", help="a row for every window instead of the mean of each video")
    add("--checkpoint", default="best", metavar="WHICH", help="best (what the run has chosen), last, or a file")
    add("--batch-size", type=int, metavar="N", help="windows of a batch (default: the run's)")
    add("--workers", type=int, metavar="N", help="processes that decode (default: the run's)")
    return parser


def _run(options: argparse.Namespace) -> int:
    from encoding.feature_file import VideoFeatures, check_kind, nearest
    from evaluation.encoders import open_encoder

    out = place(options.out, "--out")
    check_kind(out, "--out")
    if options.videos is None and options.search is None:
        raise InputError("name a video or a folder to encode, or --search a video in what was encoded")
    if options.count < 1:
        raise InputError(f"--count {options.count}: 1 or more")
    encoder = open_encoder(options.run, options.checkpoint, {})
    level = options.level or encoder.config.levels[-1]
    if level not in encoder.config.levels:
        raise InputError(f"--level {level}: {encoder.name} has {', '.join(encoder.config.levels)}")
    if options.videos is not None:
        # What an interrupted run has encoded lies there, until the file is whole.
        work = out.with_name(f"{out.name}.unfinished")
        listed = out.with_name(f"{out.stem}.bad_videos.csv")
        listed.unlink(missing_ok=True)
        features = _encoded(encoder, place(options.videos, "VIDEO_OR_FOLDER"), work, listed, options)
        features.write(out)
        if len(listed.read_text(encoding="utf-8").splitlines()) == 1:
            listed.unlink()  # all could be read
        shutil.rmtree(work, ignore_errors=True)
        widths = ", ".join(f"{name} {of_level.shape[1]}" for name, of_level in features.levels.items())
        logger.info("%d rows (%s): %s", len(features.paths), widths, out)
    if options.search is not None:
        bank = VideoFeatures.read(out)
        query_place = place(options.search, "--search")
        work = out.with_name(f"{out.name}.query")
        try:
            query = _encoded(encoder, query_place, work, work / "bad_videos.csv", options, of_videos=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        if query.encoder != bank.encoder:
            raise InputError(f"{out} was made with other weights than those of {options.run}: encode the videos again")
        print(f"most like {query_place} at level {level}, by cosine:")
        for name, cosine in nearest(bank, query.levels[level][0], level, options.count):
            print(f"  {cosine:6.3f}  {name}")
    return 0


def _encoded(
    encoder: ScoredEncoder,
    videos: Path,
    work: Path,
    listed: Path,
    options: argparse.Namespace,
    of_videos: bool = False,
) -> VideoFeatures:
    """The features of videos.

    Args:
        encoder: of the run.
        videos: a file or a folder.
        work: a folder; what an interrupted run has left in it is used.
        listed: the list of videos that cannot be read.
        options: of the command line.
        of_videos: one vector for each video, even if the options ask for windows.
    """
    import numpy as np
    import torch

    from encoding.feature_file import VideoFeatures
    from encoding.folder_catalog import catalog_of
    from protocols.encoding import encode_split
    from protocols.feature_places import FeaturePlace
    from runs.checkpoint import weights_digest

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = _config(encoder, options)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {work.parent}: {error.strerror or error}") from None
    catalog, bad_videos = catalog_of(videos, work, listed, config)
    logger.info("%d videos, %d windows of each at most", len(catalog.table), config.window.eval_windows)
    network = encoder.network.to(device).eval()
    digest = weights_digest({name: tensor.detach().cpu() for name, tensor in network.state_dict().items()})
    stored = FeaturePlace(work, "videos", network, catalog, config, device)
    found = encode_split(network, catalog, config, device, bad_videos, None, stored)
    paths_N = catalog.table["path"].to_numpy(object)[found.rows].astype(np.str_)
    if of_videos or not options.per_window:
        return VideoFeatures(digest, paths_N, {level: np.array(of[:, 0]) for level, of in found.features[1].items()})
    levels = {level: np.array(of[:, 0]) for level, of in found.views[1].items()}
    return VideoFeatures(digest, paths_N[found.view_video], levels, np.array(found.view_frames[:, 0]))


def _config(encoder: ScoredEncoder, options: argparse.Namespace) -> Config:
    """The encoder's config with what the command line changes; features always go to a file, to be gone on with."""
    config = encoder.config
    for name in ("windows", "batch_size"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(options, name)}: 1 or more")
    if options.workers is not None and options.workers < 0:
        raise InputError(f"--workers {options.workers}: 0 or more")
    window = config.window.model_copy(update={"eval_windows": options.windows or config.window.eval_windows})
    return config.model_copy(
        update={
            "window": window,
            "batch_size": options.batch_size or config.batch_size,
            "num_workers": config.num_workers if options.workers is None else options.workers,
            "features_memory_mb": 0,
            "max_bad_videos": 1.0,
            # No video is passed over for being short.
            "short_videos": "pad" if config.short_videos == "skip" else config.short_videos,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
