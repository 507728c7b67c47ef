"""The runs to make: recipes, datasets and seeds as configs, each with a fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from config.errors import InputError
from config.files import CONFIG_FOLDER, read_file
from config.load import LoadedConfig, find_config, load_config, parse_overrides
from config.merging import COMMAND_LINE
from config.messages import first_error
from config.section import Section
from config.spellings import respelled
from config.yaml_text import to_yaml
from protocols.knn import knn_settings

BOOK = Path(__file__).parent / "recipes.yaml"
FLOORS = "floors"
"""Takes the place of a recipe's name where the pixels themselves are scored."""

# What says where a run lies and what it prints, not what it computes. Seeds of one recipe share a fingerprint.
_NOT_COMPUTED = {
    "model_name",
    "save_path",
    "resume",
    "seed",
    "log_interval",
    "figure_videos",
    "figure_epochs",
    "figures",
    "pixel_floors",
    "num_workers",
    "strict_monitors",
}
_PLACES = ("dataset.root", "dataset.catalog")
_SEEN_BY_FLOORS = {
    "dataset",
    "frame_size",
    "load_size",
    "eval_crop",
    "video_decoder",
    "window",
    "short_videos",
    "mean",
    "std",
}


class Recipe(Section):
    """A way to train, told apart from others by its overrides."""

    shows: str
    overrides: dict[str, Any] = Field(default_factory=dict)
    at_init_of: str | None = None
    """No run: its row is the untrained encoder of that recipe's runs."""


class Dataset(Section):
    """A dataset, as its runs start from it."""

    config: str
    overrides: dict[str, Any] = Field(default_factory=dict)
    recipes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Overrides for single recipes on this dataset."""


class Book(Section):
    """`recipes.yaml`."""

    common: dict[str, Any] = Field(default_factory=dict)
    datasets: dict[str, Dataset]
    recipes: dict[str, Recipe]


@dataclass(frozen=True)
class Run:
    """One run: a recipe on a dataset with a seed; or the dataset's floors.

    Attributes:
        dataset: its name.
        recipe: its name, or `floors`.
        seed: of everything that is drawn.
        config: what main.py is given: a name in config/ or an absolute path.
        overrides: what main.py is given beside it, `key=value` each.
        fingerprint: of all values of the config that change what is computed, the seed apart.
        description: `config`, `config_settings` (of a file outside config/), `overrides` and `command`, as a result
            tells them: without places on this machine.
    """

    dataset: str
    recipe: str
    seed: int
    config: str
    overrides: tuple[str, ...]
    fingerprint: str
    description: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of its result file."""
        return f"{self.dataset}-{self.recipe}" + ("" if self.recipe == FLOORS else f"-{self.seed}")


def read_book(file: Path, given: Sequence[str] = ()) -> Book:
    """The recipes and datasets of a file, and the datasets that the user gives as NAME or NAME=CONFIG.

    Returns:
        The book; where datasets are given, it has those alone.

    Raises:
        InputError: the file cannot be read, has a wrong value, or lacks what is asked for.
    """
    try:
        book = Book.model_validate(read_file(file))
    except ValidationError as error:
        raise InputError(first_error(error, Book, lambda _: file.name)) from None
    datasets = {}
    for item in given:
        name, equals, config = item.partition("=")
        if not equals and name not in book.datasets:
            raise InputError(
                f"--dataset {name}: {file.name} has {', '.join(book.datasets)}; give others as {name}=CONFIG"
            )
        datasets[name] = Dataset(config=config) if equals else book.datasets[name]
    book = book.model_copy(update={"datasets": datasets or book.datasets})
    for name in (*book.datasets, *book.recipes):
        if not re.fullmatch(r"[\w.]+", name):
            raise InputError(f"'{name}' is to name files; use letters, digits, '_' and '.'")
    for name, recipe in book.recipes.items():
        if recipe.at_init_of is not None and (recipe.overrides or recipe.at_init_of not in book.recipes):
            raise InputError(f"recipes.{name} ({file.name}): at_init_of names another recipe, and has no overrides")
    for name, dataset in book.datasets.items():
        if unknown := dataset.recipes.keys() - book.recipes.keys():
            raise InputError(f"datasets.{name}.recipes ({file.name}): there is no recipe {min(unknown)}")
    return book


def choose_recipes(book: Book, names: Sequence[str]) -> list[str]:
    """The recipes to run: those asked for, or all; one that is the start of another stands for that one.

    Raises:
        InputError: there is no such recipe.
    """
    if unknown := [name for name in names if name not in book.recipes]:
        raise InputError(f"--recipe {unknown[0]}: there are {', '.join(book.recipes)}")
    return list(dict.fromkeys(book.recipes[name].at_init_of or name for name in names or book.recipes))


def plan_run(book: Book, dataset: str, recipe: str, seed: int, overrides: Sequence[str]) -> Run:
    """One run of a recipe. `overrides`: the user's own, which win. InputError: they give no valid config."""
    of_dataset = book.datasets[dataset]
    own = [book.recipes[recipe].overrides, of_dataset.recipes.get(recipe, {})]
    layers = [book.common, of_dataset.overrides, *own, parse_overrides(overrides)]
    given = [*_as_arguments(*layers), f"seed={seed}", "log_interval=1"]
    epochs = load_config(of_dataset.config, given).config.num_epochs
    given += ["val_schedule=linear", f"val_interval={epochs}", "validate_before=true"]
    loaded = load_config(of_dataset.config, given)
    values = loaded.config.model_dump(exclude=_NOT_COMPUTED)
    return _run(dataset, recipe, seed, of_dataset.config, given, loaded, values)


def plan_floors(book: Book, dataset: str, overrides: Sequence[str]) -> Run:
    """The floors of a dataset. InputError: see `plan_run`."""
    of_dataset = book.datasets[dataset]
    given = _as_arguments(of_dataset.overrides, parse_overrides(overrides))
    loaded = load_config(of_dataset.config, given)
    knn = knn_settings(loaded.config.evaluations)
    values = loaded.config.model_dump(include=_SEEN_BY_FLOORS)
    # Frames were seen pixel by pixel at first: what was measured then is not repeated by the same command.
    values |= {"knn_k": knn.k, "knn_temperature": knn.temperature, "looks": "components of frames"}
    return _run(dataset, FLOORS, 0, of_dataset.config, given, loaded, values)


def _run(
    dataset: str,
    recipe: str,
    seed: int,
    config: str,
    overrides: Sequence[str],
    loaded: LoadedConfig,
    values: dict[str, Any],
) -> Run:
    values["dataset"] = {key: value for key, value in values["dataset"].items() if f"dataset.{key}" not in _PLACES}
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    path = find_config(config)
    shipped = path.parent == CONFIG_FOLDER
    command_line = _settings(loaded, COMMAND_LINE)
    arguments = [f"{key}={to_yaml(value)}" for key, value in command_line.items()]
    program = ["main.py", path.name]
    if recipe == FLOORS:
        program = ["-m", "benchmarks.quality.floors", path.name, "floors.json"]
    description = {
        "config": path.name,
        "config_settings": {} if shipped else _settings(loaded, str(path)),
        "overrides": command_line,
        "command": shlex.join(["python", *program, *arguments]),
    }
    start = path.name if shipped else str(path.resolve())
    return Run(dataset, recipe, seed, start, tuple(overrides), digest, description)


def _as_arguments(*layers: Mapping[str, Any]) -> list[str]:
    """The layers as one command line, all in today's spelling, since it may have a key in one spelling alone."""
    arguments: list[str] = []
    for layer in layers:
        today, _ = respelled(layer, COMMAND_LINE)
        arguments += [f"{key}={to_yaml(value)}" for key, value in today.items()]
    return arguments


def _settings(loaded: LoadedConfig, origin: str) -> dict[str, Any]:
    """What came from `origin`, by dotted key; folders outside the repository are nobody else's business."""
    settings: dict[str, Any] = {}
    for dotted, label in loaded.source.items():
        value: Any = loaded.merged
        for key in dotted.split("."):
            value = value[key]
        elsewhere = dotted in _PLACES and str(value)[:1] in ("/", ".", "~")
        if label == origin and not elsewhere and dotted not in ("model_name", "save_path", "resume"):
            settings[dotted] = value
    return settings
