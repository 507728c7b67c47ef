"""The stages of a curriculum: what each step lays over the config, and which stages can follow each other."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from config.curriculum import OF_THE_RUN, STEP
from config.errors import InputError
from config.merging import COMMAND_LINE, leaves, merge
from config.schema import Config
from config.spellings import respelled
from config.start import OF_RESUME_PATH

Values = dict[str, Any]


@dataclass(frozen=True)
class StepLayer:
    """What one file, or the command line, says of one step."""

    step: str
    values: Values
    """In today's spelling."""
    label: str
    """The file, or the command line."""
    kept: set[str]
    """See `respelled`."""


def respelled_steps(layer: Values, label: str) -> list[StepLayer]:
    """The steps of a layer in today's spelling; they take the place of those in `layer`.

    Raises:
        InputError: a key is given in both spellings.
    """
    steps = layer.get("curriculum")
    if not isinstance(steps, dict):
        return []
    found = []
    for step, values in steps.items():
        if isinstance(values, dict):
            today, kept = respelled(values, f"curriculum.{step} ({label})")
            steps[step] = today
            found.append(StepLayer(str(step), today, label, kept))
    return found


def stage_values(
    merged: Mapping[str, Any], source: Mapping[str, str], layers: Sequence[StepLayer], number: int
) -> tuple[Values, dict[str, str]]:
    """The values of stage `number`, from 1, and where each came from; not validated.

    Args:
        merged: all values of the config.
        source: where they came from.
        layers: of all steps, in the order in which they are laid over the config.
        number: of the stage.
    """
    step = f"{STEP}{number}"
    values = copy.deepcopy(dict(merged)) | {"use_curriculum": False, "curriculum": {}, "stage": number}
    labels = {dotted: label for dotted, label in source.items() if not dotted.startswith("curriculum.")}
    labels |= dict.fromkeys(("use_curriculum", "curriculum", "stage"), "stage of a curriculum")
    for layer in layers:
        if layer.step == step:
            merge(values, layer.values, f"{step}, {layer.label}", labels, kept=layer.kept)
    if number > 1:
        # What the first stage starts from is nothing to the others.
        for key, nothing in {"encoder_checkpoint": None, "carry_from": None, **OF_RESUME_PATH}.items():
            values[key], labels[key] = copy.copy(nothing), "stage of a curriculum"
    return values, labels


def spell_out(merged: Values, source: dict[str, str], layers: Sequence[StepLayer], stages: Sequence[Values]) -> None:
    """Writes into the steps of `merged` what they mean only in the spelling that they were given in.

    An old spelling changes the `name` of a mapping and keeps its other keys; in today's spelling that would replace it.
    """
    for number, values in enumerate(stages, start=1):
        step = f"{STEP}{number}"
        for dotted in {dotted for layer in layers if layer.step == step for dotted in layer.kept}:
            target, found = merged["curriculum"][step], values
            *outer, last = dotted.split(".")
            for key in outer:
                target, found = target.setdefault(key, {}), found[key]
            target[last] = copy.deepcopy(found[last])
            label = next(layer.label for layer in reversed(layers) if layer.step == step and dotted in layer.kept)
            source.update(dict.fromkeys(leaves(target[last], f"curriculum.{step}.{dotted}"), label))


def check_order(stages: Sequence[Config]) -> None:
    """Refuses a stage that cannot start from the one before it.

    Raises:
        InputError: it removes a level, or trains something else.
    """
    for number, (before, stage) in enumerate(pairwise(stages), start=2):
        this, last = f"curriculum.{STEP}{number}", f"{STEP}{number - 1}"
        lost = [level for level in before.groups if level not in stage.groups]
        if lost:
            raise InputError(
                f"{this}: groups=[{', '.join(stage.groups)}] removes {lost[0]}, which {last} has trained; a stage "
                "keeps all levels of the one before it, and can freeze them: stage_lr"
            )
        for key in ("task", "encoder"):
            was, now = getattr(before, key), getattr(stage, key)
            if was != now:
                raise InputError(
                    f"{this}: {key} is {now}, and {was} in {last}; all stages train the same one: encoder_checkpoint "
                    "gives an encoder to another task"
                )


def without_effect(source: Mapping[str, str], stages: Sequence[Mapping[str, str]]) -> list[str]:
    """Keys of the command line that stages have values of their own for, in words.

    Args:
        source: of the config as a whole.
        stages: of the stages' configs.
    """
    lines = []
    for dotted, label in source.items():
        if label != COMMAND_LINE or dotted.partition(".")[0] in OF_THE_RUN:
            continue
        own = [f"{STEP}{number}" for number, of in enumerate(stages, start=1) if of.get(dotted) != COMMAND_LINE]
        if own:
            steps = "all stages" if len(own) == len(stages) else ", ".join(own)
            lines.append(f"{dotted} (command line) changes nothing in {steps}: curriculum.{own[0]} has its own value")
    return lines
