"""What a sweep varies: the section `sweep` of a config file, with the command line over it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from config.errors import InputError
from config.load import SWEEP
from config.messages import first_error, shown
from config.section import Section
from config.spellings import today
from config.yaml_text import parse_yaml

SEED = "seed"
SAMPLES = "samples"
_GIVEN_BY_THE_SWEEP = ("model_name", "save_path", "resume")


class Range(Section):
    """Values between two numbers; between two whole numbers, whole numbers, both ends among them."""

    low: int | float
    high: int | float
    log: bool = False
    """Whether every order of magnitude is as likely as any other."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low must be less than high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"with log, low must be more than 0, got {self.low}")
        return self

    def at(self, share: float) -> int | float:
        """The value at a share in [0, 1) of the way from `low` to `high`, to three significant digits."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        low, high = (self.low - 0.5, self.high + 0.5) if whole else (self.low, self.high)
        if self.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        value = round(value) if whole else float(f"{value:.3g}")
        return min(max(value, self.low), self.high)


class Choices(Section):
    """Values of which one is drawn."""

    values: Annotated[list[Any], Field(min_length=1)]

    def at(self, share: float) -> Any:
        """The value at a share in [0, 1) of the way through the list."""
        return self.values[int(share * len(self.values))]


class SweepSection(Section):
    """`sweep:` of a config file."""

    name: str | None = None
    """Name of the sweep; null: the config's name and `-sweep`."""
    grid: dict[str, Any] = Field(default_factory=dict)
    """Keys as in the rest of the file, each with a list of values: every combination is run."""
    random: dict[str, Any] = Field(default_factory=dict)
    """`samples`, and keys with ranges or lists that values are drawn from; `seed`: of the draws."""
    seeds: Any = None
    """How many seeds each combination is run with, counted from the config's, or a list of them."""


class _File(Section):
    """What of a config file is read here."""

    sweep: SweepSection | None = None


@dataclass(frozen=True)
class Definition:
    """What a sweep varies. Keys are dotted, in the spelling in which they were given.

    Attributes:
        name: of the sweep; None: that of the config.
        grid: the values of each key.
        drawn: what the values of each key are drawn from.
        samples: how many draws there are.
        draw_seed: another one gives other draws.
        seeds: how many, from the config's, or which.
    """

    name: str | None
    grid: dict[str, list[Any]]
    drawn: dict[str, Range | Choices]
    samples: int
    draw_seed: int
    seeds: int | list[int]

    @property
    def keys(self) -> list[str]:
        """The keys that vary, the seed apart."""
        return [*self.grid, *self.drawn]

    @property
    def drawn_today(self) -> list[str]:
        """The keys that are drawn, in today's spelling."""
        return [today(key) for key in self.drawn]


def read_definition(
    section: object,
    file: str,
    given: Sequence[str] = (),
    *,
    name: str | None = None,
    samples: int | None = None,
    seeds: int | None = None,
) -> Definition:
    """The sweep that a config file and a command line describe; what the command line gives takes the file's place.

    Args:
        section: the file's section `sweep`; None where it has none.
        file: the file's name, for messages.
        given: `key=[value, ...]` or `key={low: .., high: ..}` each.
        name: of the sweep.
        samples: how many draws there are.
        seeds: how many.

    Raises:
        InputError: something is misspelt, of the wrong type, or missing.
    """
    try:
        of_file = _File.model_validate({SWEEP: section}).sweep or SweepSection()
    except ValidationError as error:
        raise InputError(first_error(error, _File, lambda _: file)) from None
    grid = dict(_grid(of_file.grid, f"{SWEEP}.grid", file))
    drawn, drawing = _random(of_file.random, file)
    for key, value in _assignments(given):
        grid.pop(key, None)
        drawn.pop(key, None)
        if isinstance(value, Mapping) and value.keys() & Range.model_fields.keys():
            drawn[key] = _range(value, f"--set {key}")
        else:
            grid[key] = _list(value, f"--set {key}")
    samples = samples or drawing[SAMPLES]
    if drawn and samples is None:
        raise InputError(f"{next(iter(drawn))} is drawn: say how often, with --samples N or {SWEEP}.random.{SAMPLES}")
    for key in (*grid, *drawn):
        if key in _GIVEN_BY_THE_SWEEP:
            raise InputError(f"{key} cannot vary: a sweep names its runs and their folder (--name) and resumes them")
    if both := [key for key in grid if key in drawn]:
        raise InputError(f"{both[0]} is in both {SWEEP}.grid and {SWEEP}.random; keep one")
    if seeds is not None:
        found_seeds = _seeds(seeds, "--seeds", grid, drawn)
    else:
        found_seeds = _seeds(of_file.seeds, f"{SWEEP}.seeds ({file})", grid, drawn)
    return Definition(name or of_file.name, grid, drawn, samples or 0, drawing[SEED] or 0, found_seeds)


def _seeds(given: Any, where: str, grid: dict[str, list[Any]], drawn: Mapping[str, Any]) -> int | list[int]:
    """The seeds. A key `seed` of the grid is taken out of it: seeds are averaged over, not compared."""
    if SEED in drawn:
        raise InputError(f"{SEED} cannot be drawn; --seeds N runs every combination with N seeds")
    in_grid = grid.pop(SEED, None)
    if in_grid is not None and given is not None:
        raise InputError(f"{SEED} varies, and there is {where}: keep one of the two")
    if in_grid is not None:
        given, where = in_grid, SEED
    if given is None:
        return 1
    if isinstance(given, list) and given and all(_is_whole(seed, 0) for seed in given):
        return _distinct(given, where)
    if not _is_whole(given, 1):
        raise InputError(f"{where}: expected a number of seeds, or a list of whole numbers, got {shown(given)}")
    return int(given)


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _assignments(given: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Keys and values of `--set`. InputError: one is not `key=value`, or a key is there twice."""
    seen = set()
    for item in given:
        key, equals, text = item.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            raise InputError(f"--set '{item}': expected key=[value, ...], such as optimizer.lr=[1e-3,3e-4]")
        if key in seen:
            raise InputError(f"--set {key} is given twice; put all its values into one list")
        seen.add(key)
        yield key, parse_yaml(text, f"--set {item}")


def _grid(section: Mapping[str, Any], where: str, file: str, prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _grid(value, where, file, f"{prefix}{key}.")
        else:
            yield prefix + key, _list(value, f"{where}.{prefix}{key} ({file})")


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{where}: expected a list of values, such as [1, 2], got {shown(value)}")
    return _distinct(value, where)


def _distinct(values: list[Any], where: str) -> list[Any]:
    for index, value in enumerate(values):
        if any(value == other and type(value) is type(other) for other in values[:index]):
            raise InputError(f"{where}: {shown(value)} is in the list twice")
    return values


def _random(section: Mapping[str, Any], file: str) -> tuple[dict[str, Range | Choices], dict[str, int | None]]:
    """What is drawn by key; `samples` and the draws' `seed`, each None where it is not given."""
    left = dict(section)
    drawing: dict[str, int | None] = {}
    for key, least in ((SAMPLES, 1), (SEED, 0)):
        value = left.pop(key, None)
        if value is not None and not _is_whole(value, least):
            raise InputError(
                f"{SWEEP}.random.{key} ({file}): expected a whole number of at least {least}, got {shown(value)}"
            )
        drawing[key] = value
    if drawing[SAMPLES] is not None and not left:
        raise InputError(f"{SWEEP}.random ({file}): there are samples, but no key to draw")
    return dict(_drawn(left, file)), drawing


def _drawn(section: Mapping[str, Any], file: str, prefix: str = "") -> Iterator[tuple[str, Range | Choices]]:
    for key, value in section.items():
        where = f"{SWEEP}.random.{prefix}{key} ({file})"
        if isinstance(value, list):
            yield prefix + key, Choices(values=_list(value, where))
        elif not isinstance(value, Mapping):
            raise InputError(f"{where}: expected {{low: .., high: ..}} or a list of values, got {shown(value)}")
        elif value.keys() & Range.model_fields.keys():
            yield prefix + key, _range(value, where)
        else:
            yield from _drawn(value, file, f"{prefix}{key}.")


def _range(value: Mapping[str, Any], where: str) -> Range:
    try:
        return Range.model_validate(value)
    except ValidationError as error:
        message = first_error(error, Range, lambda _: where)
        raise InputError(message if where in message else f"{where}: {message}") from None
