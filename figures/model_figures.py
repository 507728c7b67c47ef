"""What the model sees and does, a figure each; `model_figures` of the config names them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from figures.attention import draw_attention
from figures.class_scores import Said, draw_class_scores, own_predictions
from figures.confused_classes import draw_confused_classes
from figures.nearest_videos import draw_nearest_videos
from figures.predicted_pixels import draw_predicted_pixels
from figures.prediction_errors import draw_prediction_errors
from figures.sampled_windows import SampledWindows, sampled_windows
from figures.time_similarity import draw_time_similarity
from figures.token_colours import draw_token_colours
from figures.windows import FirstWindows

if TYPE_CHECKING:
    from visualization import DrawnRun

SPLIT = "test"


def model_drawings(
    run: DrawnRun, first_windows: Callable[[], FirstWindows], folder: Path
) -> dict[str, Callable[[], object]]:
    """The drawings that the config asks for, by the name of their file; nothing is drawn or read yet.

    Args:
        run: whose figures they are.
        first_windows: of the first training batch.
        folder: of the figures.
    """
    config, encoded = run.config, run.encoded

    @cache  # once for all figures
    def sampled() -> SampledWindows:
        return sampled_windows(encoded, SPLIT)

    @cache
    def said() -> list[Said]:
        return _said_of_own_videos(run)

    drawings: dict[str, Callable[[], object]] = {
        "attention": lambda: draw_attention(sampled(), encoded.encoder, folder),
        "token_colours": lambda: draw_token_colours(sampled(), encoded.encoder, config.seed, folder),
        "time_similarity": lambda: draw_time_similarity(encoded, SPLIT, folder),
        "prediction_errors": lambda: draw_prediction_errors(run.task, sampled(), first_windows(), config, folder),
        "predicted_pixels": lambda: draw_predicted_pixels(run.task, sampled(), config, folder),
        "nearest_videos": lambda: draw_nearest_videos(encoded, SPLIT, folder),
        "confused_classes": lambda: draw_confused_classes(said(), folder),
        "class_scores": lambda: draw_class_scores(said(), encoded.split(SPLIT).groups, folder),
    }
    return {name: drawings[name] for name in dict.fromkeys(config.model_figures)}


def _said_of_own_videos(run: DrawnRun) -> list[Said]:
    """What one evaluation says of each test video of the run's own data, at each level and on its own labels."""
    plan, config = run.plan, run.config
    own = [each for each in plan.evaluations if each.data is plan.own and SPLIT in each.split_names]
    names = {each.name for each in own}
    said = [(name, each) for name, each in run.predictions if name in names]
    chooses = config.choose_by if config.choose_by in names else None
    for evaluation in sorted(own, key=lambda each: each.name != chooses):
        if said:
            break
        # An interrupted run, or one that is drawn anew, has none at hand.
        found: list[Said] = []
        evaluation.results(SPLIT, run.encoded, run.task.classifier, found.append)
        said += [(evaluation.name, each) for each in found]
    return own_predictions(said, chooses, plan.own.own | plan.own.own_multi)
