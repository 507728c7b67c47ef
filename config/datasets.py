"""`datasets`: what a run trains on beside its `dataset`, and which of them share their labels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field

from config.section import AboveZero, Section

if TYPE_CHECKING:
    from config.schema import Config

OWN = "dataset"
"""What stands for the run's own dataset where others are named."""


class FurtherDataset(Section):
    """One of `datasets`."""

    data: dict[str, Any] = Field(
        description="keys of data_config.yaml, laid over the run's: `dataset`, and where it is of pictures, "
        "`window: {length: 1}`"
    )
    repeat: AboveZero = Field(
        default=1.0,
        description="passes over it in an epoch, while `dataset` is passed over once; 0.5: half of it, the other half "
        "in the next epoch",
    )
    labels_as: str | None = Field(
        default=None,
        description="the dataset whose classes are the same, by name, so that both train one classifier; `dataset`: "
        "the run's own; null: its classes are its own, even where other datasets use the same names or numbers",
    )


class SeveralDatasets(Section):
    """What is trained on beside `dataset`: batches of one dataset each, in an order drawn for every epoch."""

    datasets: dict[str, FurtherDataset] = Field(
        default={},
        description="by names of your choice, further datasets to train on; validation and test are on `dataset`, and "
        "by `evaluations` with `data` on any other: docs/datasets.md",
    )


def check_datasets(config: Config) -> None:
    """Raises ValueError where a run cannot train on its further datasets."""
    from config.evaluations import check_data

    if config.datasets and not config.task_settings.takes_several_datasets:
        raise ValueError(f"datasets and task disagree: {config.task} trains on one dataset; datasets={{}} would fit")
    for name, further in config.datasets.items():
        if name == OWN or not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"datasets.{name}: call it otherwise, by letters, digits, _ and -, and not '{OWN}'")
        if "dataset" not in further.data:
            raise ValueError(f"datasets.{name}.data: it has no key dataset, which says what to read")
        check_data(config, further.data, f"datasets.{name}.data")
        if label_space(config, name) not in (OWN, *config.datasets):
            known = ", ".join((OWN, *config.datasets))
            raise ValueError(f"datasets.{name}.labels_as: there is no dataset {further.labels_as}; there is {known}")


def label_space(config: Config, name: str) -> str:
    """The dataset that names the classifiers of dataset `name`.

    Raises:
        ValueError: `labels_as` leads round in a circle.
    """
    seen = [name]
    while (further := config.datasets.get(seen[-1])) is not None and further.labels_as not in (None, seen[-1]):
        if further.labels_as in seen:
            raise ValueError(f"datasets.{name}.labels_as: {' -> '.join([*seen, str(further.labels_as)])} is a circle")
        seen.append(str(further.labels_as))
    return seen[-1]


def data_by_dataset(config: Config) -> dict[str, Config]:
    """The config with the data of each further dataset in the place of the run's, by name."""
    from config.evaluations import data_of

    return {name: data_of(config, further.data) for name, further in config.datasets.items()}


def own_data_alone(config: Config) -> Config:
    """The config without further datasets."""
    return config.model_copy(update={"datasets": {}})
