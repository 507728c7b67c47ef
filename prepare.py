"""From a download to what training reads: `python prepare.py {folder,moving_digits} --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from config.errors import InputError
from config.load import CONFIG_FOLDER, read_file
from config.schema import MovingDigits
from data_utils.catalog_file import SPLITS
from data_utils.prepare import folder, moving_digits


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepares one dataset. Returns the exit status: 0, or 2 where the input is wrong."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    datasets = parser.add_subparsers(required=True, metavar="DATASET")

    own = datasets.add_parser("folder", help="videos in class/video.ext, or listed in a CSV")
    own.add_argument("--raw", type=Path, required=True, help="folder that holds the videos (dataset.root)")
    own.add_argument("--out", type=Path, required=True, help="folder for the CSV files (dataset.catalog)")
    own.add_argument("--csv", type=Path, help="lists the videos; without it, the folder of a video is its label")
    own.add_argument("--path-column", default="path", help="column of the CSV: path relative to --raw")
    own.add_argument("--label-column", default="label", help="column of the CSV: what the video shows")
    own.add_argument("--group-column", help="column of the CSV: who or what must not be in two splits")
    own.add_argument("--val", type=float, default=0.15, help="share of the validation split")
    own.add_argument("--test", type=float, default=0.15, help="share of the test split")
    own.add_argument("--seed", type=int, default=0, help="of the draw")
    own.set_defaults(run=_prepare_folder)

    digits = datasets.add_parser("moving_digits", help="the embedded data: handwritten digits that move")
    digits.add_argument("--out", type=Path, required=True, help="folder for videos and CSV files (dataset.root)")
    for split in SPLITS:
        digits.add_argument(f"--{split}", type=int, help=f"videos of the split {split} (data_config.yaml's)")
    digits.add_argument("--seed", type=int, help="of everything that is drawn (data_config.yaml's)")
    digits.set_defaults(run=_prepare_moving_digits)
    return parser


def _prepare_folder(options: argparse.Namespace) -> None:
    if options.group_column and not options.csv:
        raise InputError("--group-column needs --csv, whose column it is")
    columns = folder.Columns(options.path_column, options.label_column, options.group_column)
    shares = {"val": options.val, "test": options.test}
    tables = folder.prepare(options.raw, options.out, options.csv, columns, shares, options.seed)
    for split, table in tables.items():
        groups = f", {table['group'].nunique()} groups" if "group" in table else ""
        print(f"{split}: {len(table)} videos, {table['label'].nunique()} classes{groups} -> {options.out / split}.csv")


def _prepare_moving_digits(options: argparse.Namespace) -> None:
    defaults = MovingDigits.model_validate(read_file(CONFIG_FOLDER / "data_config.yaml")["dataset"])
    videos: dict[str, int] = {}
    for split, default in defaults.videos.items():
        given = getattr(options, split)
        videos[split] = default if given is None else given
    if min(videos.values()) < 1:
        raise InputError("--train, --val and --test need at least one video each")
    moving_digits.prepare(options.out, videos, defaults.seed if options.seed is None else options.seed)
    for name, count in videos.items():
        print(f"{name}: {count} videos -> {options.out / name}.csv")


if __name__ == "__main__":
    sys.exit(main())
