"""Other spellings of keys: old ones, from before tasks and encoders had sections, go on working; `window.spread`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from config.errors import InputError
from config.yaml_text import to_yaml

LOSS = "hierarchical.loss"
OLD_SPELLINGS = {
    # The hierarchical encoder.
    "patch_size": "hierarchy.patch_size",
    "frames_per_clip": "hierarchy.frames_per_clip",
    "position_embedding": "hierarchy.position_embedding",
    "stem": "hierarchy.stem",
    "temporal_stem": "hierarchy.temporal_stem",
    "output_batchnorm": "hierarchy.output_batchnorm",
    "interlevel_noise": "hierarchy.interlevel_noise",
    "architecture_backbone": "hierarchy.backbone",
    "architecture_space": "hierarchy.space",
    "architecture_time": "hierarchy.time",
    "architecture_clip": "hierarchy.clip",
    # The hierarchical task.
    "isolation": "hierarchical.isolation",
    "use_temporal_prediction": "hierarchical.use_temporal_prediction",
    "loss_params": LOSS,  # what it held stands beside the loss's name
    "loss_fn": f"{LOSS}.name",
    "loss_weights": "hierarchical.loss_weights",
    "interpolate_loss_weights_to_uniformity": "hierarchical.interpolate_loss_weights_to_uniformity",
    "down_target": "hierarchical.down_target",
    "down_targets": "hierarchical.down_targets",
    "positions": "hierarchical.positions",
    "std_divisor": "hierarchical.std_divisor",
    "views": "hierarchical.views",
    "second_view": "hierarchical.second_view",
    "predict_across_views": "hierarchical.predict_across_views",
    "targets": "hierarchical.targets",
    "target_norm": "hierarchical.target_norm",
    "detach_targets": "hierarchical.detach_targets",
    "detach_side_targets": "hierarchical.detach_side_targets",
    "ema": "hierarchical.ema",
    "regularizer": "hierarchical.regularizer",
    "predictor.standardize": "hierarchical.standardize_predictors",
    # The evaluation by nearest neighbours.
    "knn_k": "evaluations.knn.settings.k",
    "knn_bank": "evaluations.knn.settings.bank",
    "knn_temperature": "evaluations.knn.settings.temperature",
    # The control.
    "augment_training": "supervised.augment",
}
SPREAD, SAMPLING = "spread", "sampling"
TEST_TYPE = "test_type"
TEST_TYPES = {"probe": "linear_probe", "ftune": "finetune"}
"""The evaluation at the end that each value of `test_type` stands for; its name is that of its protocol."""


def respelled(layer: Mapping[str, Any], label: str) -> tuple[dict[str, Any], set[str]]:
    """A file's keys, or those of a command line, as they are spelled today.

    Args:
        layer: nested keys in either spelling.
        label: what holds them, for messages.

    Returns:
        The keys in today's spelling, and the mappings (dotted) whose `name` replaces nothing else: `loss_fn` never
        touched `loss_params`, whichever file had them, while another `hierarchical.loss.name` replaces the loss whole.

    Raises:
        InputError: a key is given in both spellings, `spread` is neither true nor false, or `test_type` names no
            evaluation.
    """
    today = copy.deepcopy(dict(layer))
    _respell_windows(today, label)
    for old, new in OLD_SPELLINGS.items():
        *outer, last = old.split(".")
        holder: Any = today
        for key in outer:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if not isinstance(holder, dict) or last not in holder:
            continue
        value = holder.pop(last)
        if outer and not holder:
            del today[outer[0]]
        _put(today, new.split("."), value, old, label)
    if TEST_TYPE in today:
        _add_test(today, today.pop(TEST_TYPE), label)
    return today, {LOSS} if "loss_fn" in layer else set()


def _respell_windows(layer: dict[str, Any], label: str) -> None:
    """Says `sampling` for `spread`, in place, in the run's window and in those of evaluations on other data."""
    data: dict[str, Any] = {"": layer}
    evaluations = layer.get("evaluations")
    for name, evaluation in evaluations.items() if isinstance(evaluations, dict) else ():
        data[f"evaluations.{name}.data."] = evaluation.get("data") if isinstance(evaluation, dict) else None
    for prefix, values in data.items():
        window = values.get("window") if isinstance(values, dict) else None
        if not isinstance(window, dict) or SPREAD not in window:
            continue
        spread = window.pop(SPREAD)
        if not isinstance(spread, bool):
            raise InputError(f"{prefix}window.{SPREAD} ({label}): expected true or false, got {to_yaml(spread)}")
        _put(window, [SAMPLING], "uniform" if spread else "dense", SPREAD, label, f"{prefix}window.")


def today(dotted: str) -> str:
    """A dotted key as it is spelled today."""
    for old, new in OLD_SPELLINGS.items():
        if dotted == old or dotted.startswith(f"{old}."):
            return new + dotted[len(old) :]
    return dotted


def _add_test(layer: dict[str, Any], value: Any, label: str) -> None:
    """Puts the evaluation that a value of `test_type` stands for among those of the layer."""
    if not isinstance(value, str) or value not in TEST_TYPES:
        known = " or ".join(f"{name} (an evaluation {protocol})" for name, protocol in TEST_TYPES.items())
        raise InputError(f"{TEST_TYPE} ({label}): expected {known}, got {value!r}")
    protocol, given = TEST_TYPES[value], layer.get("evaluations")
    if isinstance(given, dict) and protocol in given and given[protocol] is None:
        raise InputError(
            f"{TEST_TYPE}={value} and evaluations.{protocol}=null disagree, and {label} has both; leave one of them out"
        )
    _put(layer, ["evaluations", protocol, "protocol"], protocol, TEST_TYPE, label)


def _put(layer: dict[str, Any], path: list[str], value: Any, old: str, label: str, prefix: str = "") -> None:
    """Puts what `old` held where it belongs today, beside what is there already; `prefix`: before both, in messages."""
    target = layer
    for depth, key in enumerate(path[:-1], start=1):
        inner = target.setdefault(key, {})
        if not isinstance(inner, dict):
            raise InputError(f"{'.'.join(path[:depth])} ({label}): expected a mapping; {old} is a key inside it")
        target = inner
    if clash := _clash(target, path[-1], value):
        inside = clash[1:]
        raise InputError(
            f"{prefix}{'.'.join([old, *inside])} and {prefix}{'.'.join([*path, *inside])} are two spellings of one "
            f"key, and {label} has both; keep the second one"
        )
    _add(target, path[-1], value)


def _clash(target: Mapping[str, Any], key: str, value: Any) -> list[str]:
    """The keys on the way to a value that `target` has already; [] where there is none."""
    if key not in target:
        return []
    there = target[key]
    if not isinstance(there, dict) or not isinstance(value, dict):
        return [key]
    for inner, item in value.items():
        if found := _clash(there, inner, item):
            return [key, *found]
    return []


def _add(target: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, dict) and key in target:
        for inner, item in value.items():
            _add(target[key], inner, item)
    else:
        target[key] = value
