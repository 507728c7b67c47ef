"""The folder of a sweep: its run folders, and beside them what belongs to all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from config.earlier import differences
from config.errors import InputError
from config.load import load_config
from config.messages import shown
from config.places import place
from config.validation_schedule import SCHEDULE_KEYS
from runs.folder import RunFolder
from runs.history import FREE_KEYS
from runs.process.atomic import write_json
from sweeps.plan import PlannedRun
from sweeps.training import Training

# What may differ between a run that is there and the config that the sweep has for it now.
_MAY_DIFFER = FREE_KEYS - {"num_epochs", *SCHEDULE_KEYS} | {"model_name"}


@dataclass(frozen=True)
class SweepRun:
    """A run, as `sweep.json` tells of it.

    Attributes:
        name: of its folder.
        values: of the keys that vary.
        seed: its own.
        config: path of its config file.
    """

    name: str
    values: dict[str, Any]
    seed: int
    config: str


@dataclass(frozen=True)
class Manifest:
    """`sweep.json`: what the sweep is.

    Attributes:
        base: the config that all runs start from.
        keys: that vary, in the order of the table.
        drawn: those of them whose values are drawn, not of a grid.
        runs: all that belong to it.
    """

    base: str
    keys: list[str]
    drawn: list[str]
    runs: list[SweepRun]


@dataclass(frozen=True)
class SweepFolder:
    """Where a sweep lies: `<save_path>/<name>`."""

    root: Path

    @classmethod
    def of(cls, save_path: str, name: str) -> SweepFolder:
        """The folder of a sweep. InputError: the home folder in `save_path` is not known."""
        return cls(place(save_path, "save_path") / name)

    @property
    def manifest(self) -> Path:
        """What the sweep is, JSON."""
        return self.root / "sweep.json"

    @property
    def csv(self) -> Path:
        """The table, CSV."""
        return self.root / "results.csv"

    @property
    def json(self) -> Path:
        """The table, every run and the effects of the keys, JSON."""
        return self.root / "results.json"

    @property
    def report(self) -> Path:
        """The report, one self-contained HTML file."""
        return self.root / "report.html"

    @property
    def lock(self) -> Path:
        """Who runs the sweep, JSON; there only while somebody does."""
        return self.root / "lock.json"

    @property
    def jobs(self) -> Path:
        """Folder of what submitit writes."""
        return self.root / "slurm"

    def run(self, name: str) -> RunFolder:
        """The folder of a run."""
        return RunFolder(self.root / name)

    def training(self, run: SweepRun) -> Training:
        """A run as something to train."""
        return Training(run.name, self.root, run.config)

    def read(self) -> Manifest | None:
        """What the sweep is; None where the folder does not exist, or is empty.

        Raises:
            InputError: the folder is not that of a sweep, or its `sweep.json` is damaged.
        """
        if not self.manifest.is_file():
            if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
                raise InputError(
                    f"{self.root} exists and is not the folder of a sweep; choose another name with --name"
                )
            return None
        try:
            content = json.loads(self.manifest.read_text(encoding="utf-8"))
            return Manifest(
                content["base"], content["keys"], content["drawn"], [SweepRun(**run) for run in content["runs"]]
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{self.manifest} is damaged ({error}); start the sweep under another --name") from None

    def write(self, manifest: Manifest) -> None:
        """Writes `sweep.json`. InputError: that is not possible."""
        write_json(self.manifest, asdict(manifest))


def joined(earlier: Manifest | None, asked: Manifest, folder: SweepFolder) -> Manifest:
    """The sweep that is asked for, with the runs that it had before as far as they have begun.

    Raises:
        InputError: the earlier one is another sweep.
    """
    if earlier is None:
        return asked
    another = "choose another name with --name, or remove the folder"
    if earlier.base != asked.base:
        raise InputError(f"{folder.root} is a sweep of {earlier.base}, not of {asked.base}; {another}")
    if set(earlier.keys) != set(asked.keys):
        varied = ", ".join(earlier.keys) or "nothing but the seed"
        raise InputError(f"{folder.root} is a sweep that varies {varied}; {another}")
    names = {run.name for run in asked.runs}
    others = [run for run in earlier.runs if run.name not in names and folder.run(run.name).root.exists()]
    return replace(asked, keys=earlier.keys, runs=[*asked.runs, *others])


def check_runs(folder: SweepFolder, runs: Sequence[PlannedRun]) -> None:
    """Raises InputError where a run is there already that was made with another config: scores must be comparable."""
    for run in runs:
        path = folder.run(run.name).config
        if not path.is_file():
            continue
        for key, was, now in differences(load_config(str(path)).config.model_dump(), run.config.model_dump()):
            # What is null here, the run took from its dataset.
            if now is not None and key != "seed" and key.partition(".")[0] not in _MAY_DIFFER:
                key, was, now = _inner_difference(key, was, now)
                raise InputError(
                    f"run {path.parent} was made with {key}={shown(was)}, and the sweep now has {shown(now)}: "
                    "choose another name with --name, or remove the sweep's folder"
                )


def _inner_difference(key: str, was: object, now: object) -> tuple[str, object, object]:
    """The innermost key at which two values differ, where they are mappings, with both values there."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for inner in (*was, *now):
            if was.get(inner) != now.get(inner):
                return _inner_difference(f"{key}.{inner}", was.get(inner), now.get(inner))
    return key, was, now
