"""The runs of a sweep, each with a config of its own, all known to be valid before anything is written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import InputError
from config.files import label_of
from config.load import LoadedConfig, find_config, load_config
from config.merging import COMMAND_LINE
from config.schema import Config
from config.spellings import today
from config.yaml_text import to_yaml
from sweeps.combinations import Combination, combinations, seeds_of
from sweeps.definition import SEED, Definition
from sweeps.names import names_of, with_seed

# Of a single run, or written by the sweep itself.
_OF_THE_RUN = {"model_name", "save_path", "resume", SEED}


@dataclass(frozen=True)
class PlannedRun:
    """One run.

    Attributes:
        name: of the run, unique in the sweep.
        values: of the keys that vary, in today's spelling.
        seed: of everything that it draws.
        content: of its config file.
        config: that it describes, but for name, place and seed of the run.
    """

    name: str
    values: Combination
    seed: int
    content: Mapping[str, Any]
    config: Config


def plan_runs(base: str, overrides: Sequence[str], definition: Definition, folder: str) -> list[PlannedRun]:
    """All runs, those of a combination beside each other.

    Args:
        base: the config that all start from: a name in config/ or a path.
        overrides: `key=value` each, for all runs.
        definition: what varies.
        folder: will hold the run folders.

    Raises:
        InputError: a combination gives no valid config; it is named.
    """
    given, label = combinations(definition), label_of(find_config(base))
    configs = _load_all(base, overrides, given)
    found = [{today(key): value for key, value in combination.items()} for combination in given]
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        for combination, name, loaded in zip(found, names_of(found), configs, strict=True):
            own = _own_content(loaded, label, Path(scratch) / "run.yaml")
            for seed in seeds_of(definition, loaded.config.seed):
                run = with_seed(name, seed)
                content = own | {SEED: seed, "model_name": run, "save_path": folder}
                runs.append(PlannedRun(run, combination, seed, content, loaded.config))
    return runs


def _load_all(base: str, overrides: Sequence[str], found: Sequence[Combination]) -> list[LoadedConfig]:
    """The config of every combination. InputError: some are not valid; the first is named."""
    loaded, errors = [], []
    for combination in found:
        given = [f"{key}={to_yaml(value)}" for key, value in combination.items()]
        try:
            loaded.append(load_config(base, [*overrides, *given]))
        except InputError as error:
            errors.append((" ".join(given), error))
    if errors:
        named, first = errors[0]
        others = f" ({len(errors) - 1} more of the {len(found)} combinations are not valid)" if len(errors) > 1 else ""
        raise InputError(f"with {named}: {first}{others}" if named else str(first))
    return loaded


def _own_content(loaded: LoadedConfig, label: str, scratch: Path) -> dict[str, Any]:
    """What a config file must say to give the config: what the base and the command line say, without the defaults.

    Args:
        loaded: the config.
        label: of the base, as messages name it.
        scratch: a file to write, from which the content is read to see what it gives.

    Raises:
        InputError: no file can say it.
    """
    own: dict[str, Any] = {}
    for dotted, origin in loaded.source.items():
        if origin in (label, COMMAND_LINE) and dotted not in _OF_THE_RUN:
            *outer, last = dotted.split(".")
            value, target = loaded.merged, own
            for key in outer:
                value, target = value[key], target.setdefault(key, {})
            target[last] = value[last]
    # Where the base names another optimizer, say, and a combination the default one again, the defaults that are then
    # filled in must be said, too: the whole config says everything.
    whole = {key: value for key, value in loaded.merged.items() if key not in _OF_THE_RUN}
    for content in (own, whole):
        scratch.write_text("\n".join(_lines(content)), encoding="utf-8")
        differing = differs(loaded.config, load_config(str(scratch)).config)
        if differing is None:
            return content
    raise InputError(
        f"{label}: {differing} has values that no other config file can say; start from a config of your own"
    )


def differs(one: Config, other: Config) -> str | None:
    """A key that differs, at the top of the config; None where runs of the two differ in name, place and seed alone."""
    first, second = (config.model_dump(exclude=_OF_THE_RUN) for config in (one, other))
    return next((key for key, value in first.items() if second[key] != value), None)


def twins(runs: Sequence[PlannedRun]) -> list[tuple[str, str]]:
    """Names of runs that compute the same, each with the first one that does: a key that varies has no effect there.

    So it is where combinations vary a key of a section that their task does not use.
    """
    first: dict[str, str] = {}
    found = []
    for run in runs:
        content = f"{run.seed} {run.config.model_dump_json(exclude=_OF_THE_RUN)}"
        if first.setdefault(content, run.name) != run.name:
            found.append((first[content], run.name))
    return found


def config_text(run: PlannedRun, sweep: str, base: str, path: str) -> str:
    """The config file of a run.

    Args:
        run: the run.
        sweep: name of the sweep.
        base: the config that all start from.
        path: of the file, as the launcher is given it.
    """
    what_differs = ", ".join(f"{key}={to_yaml(value)}" for key, value in (run.values | {SEED: run.seed}).items())
    lines = [
        f"# ./launcher.sh GPU_ID {path}",
        "#",
        f"# One run of the sweep {sweep}, which starts from {base}. Written by sweep.py.",
        f"# What differs: {what_differs}",
        "",
        *_lines(run.content),
    ]
    return "\n".join(lines) + "\n"


def _lines(mapping: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{to_yaml(key)}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{to_yaml(key)}: {to_yaml(value)}"
