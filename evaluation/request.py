"""The command line of eval.py: what is scored, by what, on which data. A typo must not wait for heavy imports."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from config.data import DataConfig
from config.errors import InputError
from config.files import read_file
from config.load import parse_overrides
from config.places import place
from config.spellings import respelled
from protocols import PROTOCOLS

CHECKPOINTS = ("best", "last")


@dataclass(frozen=True)
class OtherData:
    """A dataset that a run was not trained on."""

    name: str
    """For tables."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Keys of data_config.yaml, laid over the run's; {}: the run's own data."""


OWN_DATA = OtherData("")


@dataclass(frozen=True)
class Request:
    """What a command line asks for."""

    runs: list[str]
    """Run folders, files of weights, or names of torchvision's networks."""
    protocols: list[str]
    """Evaluations of the run's config or protocols; []: what the run's config has for the test."""
    data: list[OtherData]
    checkpoint: str
    """`best`, `last`, or a path."""
    levels: list[str] | None
    labels: list[str] | None
    split: Literal["val", "test"]
    seeds: int
    random_init: bool
    changes: Mapping[str, Any]
    """Keys of the config, laid over each run's."""
    out: Path | None
    """Folder for the tables; None: a new one in the folder of the first run."""
    export: Path | None
    """File for features instead of scores."""

    @property
    def scores(self) -> bool:
        """Whether anything is scored: not where features alone are asked for."""
        return self.export is None or bool(self.protocols)


def read_request(arguments: Sequence[str] | None = None) -> Request:
    """What the command line asks for.

    Raises:
        InputError: it cannot be done.
        SystemExit: after --help, and where arguments are missing.
    """
    options = _parser().parse_args(arguments)
    if options.seeds < 1:
        raise InputError(f"--seeds {options.seeds}: 1 or more")
    data = [_read_data(given) for given in options.dataset or ()]
    doubled = {one.name for one in data if sum(one.name == other.name for other in data) > 1}
    if doubled:
        raise InputError(
            f"--dataset: two of them are called {doubled.pop()}, so that a table could not tell them apart"
        )
    export = options.export_features
    if export is not None and (len(options.runs) > 1 or len(data) > 1):
        raise InputError("--export-features takes one run and at most one dataset: a file is of one encoder on one")
    if export is not None and export.suffix != ".npz":
        raise InputError(f"--export-features {export}: the name of an .npz file")
    return Request(
        options.runs,
        options.protocol or [],
        data or [OWN_DATA],
        options.checkpoint,
        options.levels,
        options.labels,
        options.split,
        options.seeds,
        not options.no_random_init,
        parse_overrides(options.set or ()),
        options.out and place(options.out, "--out"),
        export and place(export, "--export-features"),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eval.py",
        description="Score encoders on any dataset; several runs and datasets make one table.",
        epilog="docs/evaluation.md has examples and all protocols.",
    )
    add = parser.add_argument
    add(
        "runs",
        metavar="RUN",
        nargs="+",
        help="the folder of a run, an encoder.safetensors with its encoder.json, or a network of torchvision: s3d, "
        "r2plus1d_18, mvit_v2_s or swin3d_t, with a file of weights as in s3d:FILE",
    )
    add(
        "--protocol",
        nargs="+",
        metavar="NAME",
        help=f"evaluations of the run's config, or protocols with their default settings: {', '.join(PROTOCOLS)}; "
        "left out: what the config has for the test",
    )
    add(
        "--dataset",
        action="append",
        metavar="FILE",
        help="other data: a YAML file with keys of data_config.yaml, or the folder of a prepared dataset; may be given "
        "several times; left out: the run's own",
    )
    add("--checkpoint", default="best", metavar="WHICH", help="best (what the run has chosen), last, or a file")
    add("--levels", nargs="+", metavar="LEVEL", help="score these levels alone")
    add("--labels", nargs="+", metavar="COLUMN", help="score on these label sets alone")
    add("--split", choices=("test", "val"), default="test", help="whose videos are scored (default: test)")
    add("--seeds", type=int, default=1, metavar="N", help="repeat what a protocol draws N times: mean and std")
    add("--no-random-init", action="store_true", help="do not score the untrained encoder, which takes as long again")
    add(
        "--set",
        nargs="+",
        metavar="key=value",
        help="other values of the config, e.g. evaluations.knn.settings.k=5 or batch_size=64",
    )
    add(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="for results.md, .csv, .json; else a new one in the first run's folder",
    )
    add("--export-features", type=Path, metavar="FILE.npz", help="write features, labels and paths for a notebook")
    return parser


def _read_data(given: str) -> OtherData:
    path = place(given, "--dataset")
    if path.is_dir():
        return OtherData(path.resolve().name, {"dataset": {"name": "catalog", "root": str(path)}})
    if not path.is_file():
        raise InputError(f"--dataset {given}: neither a YAML file nor the folder of a prepared dataset")
    keys, _ = respelled(read_file(path), f"--dataset {given}")
    unknown = [key for key in keys if key not in DataConfig.model_fields]
    if unknown:
        hint = _hint(unknown[0], DataConfig.model_fields)
        raise InputError(f"--dataset {given}: {unknown[0]} is not a key of data_config.yaml{hint}")
    if "dataset" not in keys:
        raise InputError(f"--dataset {given}: it has no key dataset, which says what to read")
    return OtherData(path.stem, keys)


def chosen_evaluations(request: Request, of_run: Mapping[str, Any], own_data: bool) -> dict[str, Any]:
    """The evaluations that are asked for, as a config has them.

    Args:
        request: names them.
        of_run: those of the run's config, None where one is switched off.
        own_data: whether it is scored on the data that the run names.

    Raises:
        InputError: there is no such evaluation or protocol.
    """
    there = {name: dict(evaluation) for name, evaluation in of_run.items() if evaluation is not None}
    if request.protocols:
        names = request.protocols
    else:
        names = [name for name, evaluation in there.items() if "test" in evaluation.get("when", ["test"])]
        if not own_data:  # what has data of its own is not asked about other data
            names = [name for name in names if not there[name].get("data")]
    chosen = {}
    when = "test" if request.split == "test" else "validation"
    for name in dict.fromkeys(names):
        if name not in there and name not in PROTOCOLS:
            hint = _hint(name, [*there, *PROTOCOLS])
            raise InputError(f"--protocol {name}: neither an evaluation of the run's config nor a protocol{hint}")
        evaluation = there.get(name, {"protocol": name}) | {"when": [when]}
        if not own_data:
            evaluation["data"] = {}
            evaluation.pop("labels", None)  # which the run's data has, and others may not
        if request.levels is not None:
            evaluation["levels"] = request.levels
        if request.labels is not None:
            evaluation["labels"] = request.labels
        chosen[re.sub(r"[^\w-]", "_", name)] = evaluation
    if not chosen:
        raise InputError("the run's config has no evaluation for the test: name some with --protocol")
    return chosen


def _hint(name: str, known: Iterable[str]) -> str:
    """The rest of a message about a name that does not exist."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there is {', '.join(names)}"
