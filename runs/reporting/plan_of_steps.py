"""How much training a config amounts to, told before it begins: three steps look like a result when they are over."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import numpy as np

from config.schema import Config
from config.validation_schedule import schedule_in_words
from data_utils.batches.windows import num_windows
from data_utils.catalog.catalog import Catalog
from data_utils.catalog.small_splits import interval_to_expect

_FEW_STEPS = 100

logger = logging.getLogger(__name__)


def tell_plan(catalogs: Mapping[str, Catalog], config: Config, windows: int, steps_per_epoch: int) -> None:
    """Logs videos, windows and steps, and warns where they are few, with a value that would change it.

    Args:
        catalogs: of all splits.
        config: the whole config.
        windows: of a training epoch.
        steps_per_epoch: training steps of an epoch.
    """
    steps = steps_per_epoch * config.num_epochs
    seen = min(windows, steps_per_epoch * config.batch_size * config.num_iters_grad_accum)
    left = f" ({windows - seen} windows of each are left over)" if seen < windows else ""
    logger.info(
        "plan: %d training videos, %d windows and %s an epoch%s; %s: %s in all, %d windows seen",
        len(catalogs["train"].table),
        windows,
        _counted(steps_per_epoch, "step"),
        left,
        _counted(config.num_epochs, "epoch"),
        _counted(steps, "step"),
        seen * config.num_epochs,
    )
    for told in _of_copies_and_rate(config):
        logger.info("%s", told)
    validations = schedule_in_words(config)
    if validations:
        logger.info("validations: %s", validations)
    if steps < _FEW_STEPS:
        logger.warning(
            "few steps: %d in all; %s", steps, " or ".join(_ways_to_more(catalogs["train"], config, windows))
        )
    for split in ("val", "test"):
        line = _interval(catalogs[split])
        if line:
            logger.warning("%s", line)


def _of_copies_and_rate(config: Config) -> list[str]:
    """What an epoch and a step are where windows are seen in copies, and the learning rate where it follows a rule."""
    lines, copies = [], config.task_settings.copies
    if copies > 1:
        lines.append(
            f"copies: each window is seen {copies} times in its step, with other crops and masks; an epoch reads every "
            f"window once, and a step has {config.clips_per_step} clips"
        )
    rule = config.optimizer
    if rule.base_lr is not None:
        lines.append(
            f"learning rate: optimizer.base_lr {rule.base_lr:g} x {config.clips_per_step} clips of a step / "
            f"{rule.nominal_batch} = {config.learning_rate:g}; optimizer.lr counts for nothing"
        )
    return lines


def _ways_to_more(train: Catalog, config: Config, windows: int) -> list[str]:
    per_step = config.batch_size * config.num_iters_grad_accum
    steps = max(1, windows // per_step)
    ways = [f"num_epochs={math.ceil(_FEW_STEPS / steps)} gives {steps * math.ceil(_FEW_STEPS / steps)}"]
    frames, fps = (train.table[name].to_numpy() for name in ("frames", "fps"))
    fitting = num_windows(frames.astype(np.int64), fps.astype(np.float64), config.window, config.short_videos)
    each = int(np.median(fitting))
    if each > config.window.max_seq_per_video and config.window.sampling != "states":
        taken = int(np.minimum(fitting, each).sum())
        ways.append(f"window.max_seq_per_video={each} takes {taken} windows an epoch from the same videos")
    return ways


def _interval(catalog: Catalog) -> str | None:
    """Warns how uncertain scores on a split are, judged by its last level's labels."""
    labels = next(iter(catalog.labels.values()), None)
    if labels is None:
        return None
    groups = catalog.table["group"][labels.is_known].nunique() if "group" in catalog.table else None
    return interval_to_expect(catalog.split, int(labels.is_known.sum()), groups)


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
