"""What a prepared dataset says of itself: `dataset.json`, beside its CSV files."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.data import MovingDigits
from config.errors import InputError
from config.load import LoadedConfig
from config.places import place
from config.schema import Config

FILE_NAME = "dataset.json"
Format = Literal["packed", "frames", "hdf5", "video"]
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


MOVING_DIGITS = DatasetCard(
    name="moving_digits", format="video", size=None, mean=(0.3, 0.3, 0.3), std=(0.15, 0.15, 0.15), flip=0.0
)


def read_card(folder: Path) -> DatasetCard | None:
    """The card of the catalog in `folder`; None where it was not made by `prepare.py`.

    Raises:
        InputError: there is a `dataset.json` that cannot be read.
    """
    file = folder / FILE_NAME
    try:
        content = json.loads(file.read_bytes())
        if content.get("name") == "moving_digits" and "format" not in content:  # as its generator writes it
            return MOVING_DIGITS
        return DatasetCard.model_validate(content)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError, ValidationError):
        raise InputError(f"{file} does not describe a dataset; run prepare.py again") from None


def catalog_folder(config: Config) -> Path:
    """The folder of the CSV files."""
    dataset = config.dataset
    if isinstance(dataset, MovingDigits) or dataset.catalog is None:
        return place(dataset.root, "dataset.root")
    return place(dataset.catalog, "dataset.catalog")


def complete(loaded: LoadedConfig) -> LoadedConfig:
    """The config with what it leaves to the dataset: `mean`, `std`, and `flip` of both augmentations.

    Raises:
        InputError: the dataset's `dataset.json` cannot be read.
    """
    config = loaded.config
    card = MOVING_DIGITS if isinstance(config.dataset, MovingDigits) else read_card(catalog_folder(config))
    merged, source = dict(loaded.merged), dict(loaded.source)
    origin = FILE_NAME if card else "ImageNet's"
    if config.mean is None:
        if card is None:
            logger.warning("mean and std are not known, so ImageNet's are taken: prepare.py measures them")
        merged["mean"] = list(card.mean if card else _IMAGENET_MEAN)
        merged["std"] = list(card.std if card else _IMAGENET_STD)
        source |= {"mean": origin, "std": origin}
    for key in ("augmentation", "weak_augmentation"):
        if merged[key]["flip"] is None:
            merged[key] = merged[key] | {"flip": card.flip if card else 0.0}
            source[f"{key}.flip"] = origin if card else "no dataset.json"
    return replace(loaded, config=Config.model_validate(merged), merged=merged, source=source)
