"""One encoder on one dataset: its results, floors beside them, over one or several seeds."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

import torch
from pydantic import ValidationError
from torch import nn

from config.errors import InputError
from config.evaluations import check_data, data_of
from config.merging import merge
from config.messages import first_error
from config.schema import Config
from config.spellings import respelled
from data_utils.batches.opening import open_bad_videos, open_catalogs
from data_utils.catalog.catalog import Catalog
from data_utils.catalog.dataset_card import completed
from data_utils.prepare.embedded import make_missing
from eval import score
from evaluation.encoders import ScoredEncoder
from evaluation.request import OtherData, Request, chosen_evaluations
from protocols import PROTOCOLS
from protocols.evaluation import EvaluationData, Plan, plan_evaluations
from protocols.pixel_floors import pixel_floors
from protocols.predictions import MultiPredictions, Predictions
from runs.results import Result, with_pixels, with_random_init

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """What was found of one encoder on one dataset."""

    encoder: str
    """Its name."""
    weights: str
    """Which weights these are, in words."""
    dataset: str
    results: list[Result]
    skipped: dict[str, str]
    """By evaluation, why it could not be done."""
    predictions: list[tuple[str, Predictions | MultiPredictions]]
    """By name of the evaluation, what classifiers say of each video; of the first seed."""
    catalogs: dict[str, Catalog]
    """By evaluation, the split that was scored."""
    titles: dict[str, str]
    """By evaluation, what the console calls it."""
    pixels: list[Result]
    """What evaluations say of pixels in place of features; [] where the config asks for none."""


def opened_data(encoder: ScoredEncoder, data: OtherData, request: Request, lists: Path) -> EvaluationData:
    """The data that an encoder is scored on.

    Args:
        encoder: gives the config that `data` is laid over.
        data: the dataset.
        request: other values of the config, and the evaluations.
        lists: the list of videos that cannot be read.

    Raises:
        InputError: it cannot be used.
    """
    config = asked_config(encoder, data, request)
    make_missing(config.dataset)
    config = completed(config)
    catalogs = open_catalogs(config, config.groups, lists)
    bad_videos = open_bad_videos(config, catalogs, lists)
    folder = encoder.folder / "features" if encoder.folder else None
    opened = EvaluationData.of(catalogs, config, bad_videos, folder)
    return replace(opened, name=data.name) if data.name else opened


def asked_config(encoder: ScoredEncoder, data: OtherData, request: Request) -> Config:
    """An encoder's config with the data, the evaluations and the values that a command line asks for.

    Raises:
        InputError: they do not fit together.
    """
    config = encoder.config
    unknown = [level for level in request.levels or () if level not in config.levels]
    if unknown:
        raise InputError(f"--levels {unknown[0]}: {encoder.name} has {', '.join(config.levels)}")
    if data.keys:
        try:
            check_data(config, data.keys, f"--dataset {data.name}")
        except ValueError as error:
            raise InputError(str(error)) from None
        values = data_of(config, data.keys).model_dump()
    else:
        values = config.model_dump()
    values |= {"choose_by": None, "debug": False, "use_curriculum": False, "curriculum": {}, "until": "epochs"}
    of_run = config.model_dump()["evaluations"]
    changes, _ = respelled(copy.deepcopy(dict(request.changes)), "--set")
    changed = changes.pop("evaluations", {})
    if not isinstance(changed, dict):
        raise InputError(f"--set evaluations={changed}: a mapping of names to evaluations, such as evaluations.knn=...")
    for name in request.protocols:  # what the run does not have begins with its defaults, which --set may change
        if name in PROTOCOLS and of_run.get(name) is None:
            of_run[name] = {"protocol": name}
    merge(of_run, changed, "--set", {})
    values["evaluations"] = chosen_evaluations(request, of_run, not data.keys) if request.scores else {}
    merge(values, changes, "--set", {})
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(first_error(error, Config, lambda _: "--set, or the run's config")) from None


def evaluate(encoder: ScoredEncoder, data: OtherData, request: Request, lists: Path, device: torch.device) -> Evaluated:
    """Scores one encoder on one dataset.

    Args:
        encoder: moved to `device`.
        data: the dataset.
        request: how it is scored.
        lists: the list of videos that cannot be read; its folder must exist.
        device: that computes.

    Raises:
        InputError: the dataset cannot be used, or an evaluation cannot be done with it.
    """
    own = opened_data(encoder, data, request, lists)
    plan = plan_evaluations(own.config, own, lists)
    counts = ", ".join(f"{len(catalog.table)} {split}" for split, catalog in own.catalogs.items())
    logger.info("%s on %s: %s videos; %s", encoder.name, own.name, counts, encoder.what)
    network = encoder.network.to(device).eval()
    classifier = encoder.classifier.to(device).eval() if encoder.classifier and not data.keys else None
    predictions: list[tuple[str, Predictions | MultiPredictions]] = []
    trained = _repeated(plan, request, network, classifier, device, predictions)
    if request.random_init:
        logger.info("%s at random init on %s", encoder.name, own.name)
        trained = with_random_init(trained, _repeated(plan, request, encoder.at_init().to(device).eval(), None, device))
    pixels = pixel_floors(plan, request.split, device) if own.config.pixel_floors else []
    return Evaluated(
        encoder.name,
        encoder.what,
        own.name,
        with_pixels(trained, pixels),
        plan.skipped,
        predictions,
        plan.catalogs(request.split),
        plan.titles,
        pixels,
    )


def _repeated(
    plan: Plan,
    request: Request,
    network: nn.Module,
    classifier: nn.Module | None,
    device: torch.device,
    predictions: list[tuple[str, Predictions | MultiPredictions]] | None = None,
) -> list[Result]:
    """The results over all seeds; `predictions` gets what classifiers say with the first one."""
    own = plan.own.seen_by(network, device)
    repetitions = []
    for repetition in range(request.seeds):

        def keep(name: str, said: Predictions | MultiPredictions, first: bool = repetition == 0) -> None:
            if predictions is not None and first:
                predictions.append((name, said))

        untrained = predictions is None
        repetitions.append(
            score(plan, request.split, own, classifier, keep, repetition=repetition, untrained=untrained)
        )
    return over_seeds(repetitions)


def over_seeds(repetitions: Sequence[Sequence[Result]]) -> list[Result]:
    """The mean of every result, and its standard deviation over the seeds where there are several."""
    if len(repetitions) == 1:
        return list(repetitions[0])
    found = []
    for result in repetitions[0]:
        same = [other for results in repetitions for other in results if other.key == result.key]
        values = [other.value for other in same if other.value is not None]
        if len(values) == len(repetitions):
            result = replace(result, value=fmean(values), std=stdev(values), seeds=len(values))
        found.append(result)
    return found
