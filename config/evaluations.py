"""`evaluations`: which protocols score the encoder, when, on which data and labels; any number of them, by name."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast

from pydantic import Field, create_model

from config.data import DataConfig
from config.errors import InputError
from config.figures import MODEL_FIGURES
from config.section import LevelName, Section
from protocols import PROTOCOLS

if TYPE_CHECKING:
    from config.schema import Config

When = Literal["validation", "test"]


class Evaluation(Section):
    """One entry of `evaluations`; `settings` are those of its protocol."""

    protocol: str = Field(description="how the encoder is scored: a file of `protocols/`")
    when: Annotated[list[When], Field(min_length=1)] = Field(
        default=["test"],
        description="when the schedule of validations says so, on validation videos; at the end, on test videos",
    )
    data: dict[str, Any] = Field(
        default={},
        description="keys of data_config.yaml, laid over the run's: another dataset, other windows; empty: the run's",
    )
    levels: Annotated[list[LevelName], Field(min_length=1)] | None = Field(
        default=None, description="the levels that are scored; null: all, or for protocol finetune the last one"
    )
    labels: Literal["all"] | Annotated[list[str], Field(min_length=1)] | None = Field(
        default="all",
        description="the label sets that every level is scored on: all of the dataset, or those named; null: for each "
        "level the one that it is judged by",
    )
    settings: Any


def _section(name: str) -> type[Evaluation]:
    """The section of an evaluation by protocol `name`."""
    settings = PROTOCOLS[name].Settings
    optional = all(not field.is_required() for field in settings.model_fields.values())
    default = Field(default_factory=settings) if optional else Field()
    changed: dict[str, Any] = {}
    if PROTOCOLS[name].last_level_alone:
        labels = Evaluation.model_fields["labels"]
        changed["labels"] = (labels.annotation, Field(default=None, description=labels.description))
    section: type[Evaluation] = create_model(
        f"{name}_evaluation",
        __base__=Evaluation,
        __doc__=PROTOCOLS[name].note,
        protocol=(cast("Any", Literal[name]), Evaluation.model_fields["protocol"]),
        settings=(settings, default),
        **changed,
    )
    return section


if TYPE_CHECKING:
    AnyEvaluation = Evaluation
else:
    AnyEvaluation = Annotated[Union[tuple(map(_section, PROTOCOLS))], Field(discriminator="protocol")]  # noqa: UP007

# Evaluations give figures and keys of summary.json and metrics.jsonl their names: these are taken.
TAKEN = {
    *("windows", "views", "loss", "pace", "collapse", "pca", "tsne", "umap", *MODEL_FIGURES),
    *("kind", "step", "steps", "epoch", "epochs", "rank", "std", "monitors", "alarms", "results", "evaluations"),
    *("untrained", "drawn_val"),
    *("prediction_errors", "predicted_pixels", "scatter"),
    *("skipped", "own_labels", "test_videos", "task", "best_step", "chosen", "bad_steps", "bad_videos", "device"),
    *("command", "wall_seconds", "peak_memory_mb", "windows_per_second", "frames_per_second", "data_wait"),
    *("failed_figures", "debug", "pixel_floors"),
}


def check_evaluations(config: Config) -> None:
    """Raises ValueError where an evaluation cannot be done with this config."""
    for name, evaluation in config.evaluations.items():
        if name in TAKEN or not name.replace("_", "").replace("-", "").isalnum():
            raise ValueError(
                f"evaluations.{name}: this name is taken or cannot name a figure; use others, of letters, digits, _, -"
            )
        if evaluation is None:
            continue
        unknown = [level for level in evaluation.levels or () if level not in config.levels]
        if unknown:
            known = ", ".join(config.levels)
            raise ValueError(f"evaluations.{name}.levels: there is no {unknown[0]}; the encoder has {known}")
        try:
            PROTOCOLS[evaluation.protocol](evaluation.settings).check(config)
        except ValueError as error:
            raise ValueError(f"evaluations.{name}.{error}") from None
        if evaluation.data:
            check_data(config, evaluation.data, f"evaluations.{name}.data")
    if config.choose_by is None:
        return
    if config.choose_by not in config.evaluations:
        known = ", ".join(config.evaluations) or "none"
        raise ValueError(f"choose_by: there is no evaluation {config.choose_by}; evaluations has {known}")
    chooses = config.evaluations[config.choose_by]
    if chooses is not None and "validation" not in chooses.when:
        raise ValueError(
            f"choose_by and evaluations.{config.choose_by}.when disagree: validation chooses the checkpoint; "
            f"evaluations.{config.choose_by}.when=[validation, test] would fit, or choose_by=null"
        )


def check_data(config: Config, data: Mapping[str, Any], where: str) -> None:
    """Raises ValueError where an encoder cannot be scored on other data.

    Args:
        config: the encoder's.
        data: keys that are laid over it.
        where: they stand, for messages.
    """
    unknown = [key for key in data if key not in DataConfig.model_fields]
    if unknown:
        raise ValueError(
            f"{where}: {unknown[0]} is not a key of data_config.yaml, which has the keys that may stand here"
        )
    if config.encoder in ("hierarchical", "joint"):  # positions are counted; of joint, those of an image, too
        window = data.get("window")
        length = window.get("length", config.window.length) if isinstance(window, dict) else config.window.length
        size = data.get("frame_size", config.frame_size)
        for key, ours, theirs in (
            ("frame_size", config.frame_size, size),
            ("window.length", config.window.length, length),
        ):
            if ours != theirs and not (config.encoder == "joint" and key == "window.length" and theirs == 1):
                advice = (
                    "; load_size and eval_crop say how other frames are brought to it" if key == "frame_size" else ""
                )
                raise ValueError(f"{where}.{key} is {theirs}, but the encoder takes {ours} alone: leave it out{advice}")
    try:
        data_of(config, data)
    except InputError as error:
        raise ValueError(f"{where}: {error}") from None


def data_of(config: Config, data: Mapping[str, Any]) -> Config:
    """The run's config with other data, and without evaluations.

    A `dataset` with another name or root is a dataset of its own, with nothing of the run's (its labels, say). Mean and
    std stay the run's unless they are given: the encoder was trained with them.

    Raises:
        InputError: the values do not fit together, or one of them is of the wrong type.
    """
    from pydantic import ValidationError

    from config.messages import first_error

    values = config.model_dump() | {"evaluations": {}, "choose_by": None, "datasets": {}}
    for key, value in copy.deepcopy(dict(data)).items():
        old = values[key]
        own = (
            key == "dataset"
            and isinstance(value, dict)
            and any(name in value and value[name] != old[name] for name in ("name", "root"))
        )
        values[key] = _laid_over(old, value) if isinstance(old, dict) and not own else value
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        raise InputError(first_error(error, type(config), lambda _: "its own value over the run's")) from None


def _laid_over(base: Mapping[str, Any], change: Any) -> Any:
    """`change` over `base`, key by key."""
    if not isinstance(change, Mapping):
        return change
    merged = dict(base)
    for key, value in change.items():
        merged[key] = _laid_over(base[key], value) if isinstance(base.get(key), Mapping) else value
    return merged


def default_evaluations() -> dict[str, Any]:
    """The evaluations of a config that names none; train_config.yaml has the same."""
    return {
        "knn": {"protocol": "knn", "when": ["validation", "test"]},
        "linear_probe": {"protocol": "linear_probe", "when": ["test"]},
        "supervised": {"protocol": "classifier", "when": ["test"]},
    }


def choosing(config: Mapping[str, Any]) -> dict[str, Any]:
    """A dumped config without the evaluations that neither train nor choose the checkpoint."""
    values = dict(config)
    if "evaluations" not in values:
        return values
    by = values.get("choose_by", "knn")
    chooses = values["evaluations"].get(by)
    if chooses is not None:
        sections = {name: _section(name) for name in (chooses.get("protocol"),) if name in PROTOCOLS}
        chooses = {name: section.model_validate(chooses).model_dump() for name, section in sections.items()} or chooses
    return values | {"choose_by": by, "evaluations": chooses}
