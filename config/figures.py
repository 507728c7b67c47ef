"""The names of the figures of what a model sees and does: of keys, and of files."""

from __future__ import annotations

from typing import Literal, get_args

ModelFigure = Literal[
    "attention",
    "token_colours",
    "time_similarity",
    "prediction_errors",
    "predicted_pixels",
    "nearest_videos",
    "confused_classes",
    "class_scores",
]
MODEL_FIGURES: tuple[ModelFigure, ...] = get_args(ModelFigure)
