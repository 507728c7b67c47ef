"""The description of a prepared dataset: `dataset.json`, beside its CSV files."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.data import DataConfig, LabelColumns, NpyDataset
from config.errors import InputError
from config.places import place
from data_utils.catalog.older_cards import with_unsaid

FILE_NAME = "dataset.json"
Format = Literal["packed", "frames", "hdf5", "video"]
AnyData = TypeVar("AnyData", bound=DataConfig)
_AboveZero = Annotated[float, Field(gt=0)]
# Of ImageNet's training images, as torchvision's models take them.
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

logger = logging.getLogger(__name__)


class DatasetCard(BaseModel):
    """The facts of a prepared dataset."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)  # newer preparations may say more

    name: str
    format: Format
    size: Annotated[int, Field(ge=1)] | None
    """Shorter side of the stored frames, pixels; smaller videos keep their size. None: as they were."""
    mean: tuple[float, float, float]
    """Per channel, of the training split's pixels in [0, 1]."""
    std: tuple[_AboveZero, _AboveZero, _AboveZero]
    flip: Annotated[float, Field(ge=0, le=1)]
    """Share of training windows to be mirrored: 0 where the labels know left from right."""
    labels: LabelColumns | None = None
    """What frames (`space`), clips (`time`) and whole videos (`clip`) are judged by, as `dataset.labels` writes it."""


def read_card(folder: Path) -> DatasetCard | None:
    """The card of the catalog in `folder`; None where it was not made by `prepare.py`.

    Raises:
        InputError: there is a `dataset.json` that cannot be read.
    """
    file = folder / FILE_NAME
    try:
        return DatasetCard.model_validate(with_unsaid(json.loads(file.read_bytes())))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, ValidationError):
        raise InputError(f"{file} does not describe a dataset; run prepare.py again") from None


def catalog_folder(data: DataConfig) -> Path:
    """The folder of the CSV files; of lists that lie elsewhere, that of the videos."""
    dataset = data.dataset
    if dataset.catalog is None or isinstance(dataset, NpyDataset):
        return place(dataset.root, "dataset.root")
    return place(dataset.catalog, "dataset.catalog")


def left_to_dataset(data: DataConfig) -> dict[str, tuple[Any, str]]:
    """The values that the config leaves to the dataset: by dotted key the value, and where it comes from.

    These are `mean` and `std`, and `flip` of both augmentations, where they are null.

    Raises:
        InputError: the dataset's `dataset.json` cannot be read.
    """
    card = read_card(catalog_folder(data))
    origin = FILE_NAME if card else "ImageNet's"
    found: dict[str, tuple[Any, str]] = {}
    if data.mean is None:
        if card is None:
            logger.warning("mean and std are not known, so ImageNet's are taken: prepare.py measures them")
        found["mean"] = list(card.mean if card else _IMAGENET_MEAN), origin
        found["std"] = list(card.std if card else _IMAGENET_STD), origin
    for key in ("augmentation", "weak_augmentation"):
        if getattr(data, key).flip is None:
            found[f"{key}.flip"] = (card.flip, FILE_NAME) if card else (0.0, "no dataset.json")
    return found


def completed(data: AnyData) -> AnyData:
    """The config with what it leaves to the dataset. InputError: see `left_to_dataset`."""
    changes: dict[str, Any] = {}
    for dotted, (value, _) in left_to_dataset(data).items():
        section, _, key = dotted.rpartition(".")
        if section:
            changes[section] = getattr(data, section).model_copy(update={key: value})
        else:
            changes[key] = value
    return data.model_copy(update=changes)
