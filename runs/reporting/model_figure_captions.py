"""How to read the figures of what a model sees and does: by file name, a title and a few sentences for the report."""

from __future__ import annotations

from config.figures import ModelFigure

MODEL_FIGURE_CAPTIONS: dict[ModelFigure, tuple[str, str]] = {
    "attention": (
        "What each summary attends to",
        "Some test windows. How much each patch counts for its frame, as heat over the picture, and each "
        "frame and clip for what it is part of, as bars: in the last block, and through all blocks (rollout). "
        "1 is what each would count if all counted the same. The same pattern in every window says that a "
        "level attends to places, not to contents.",
    ),
    "token_colours": (
        "Tokens as colours",
        "The first three principal components of the tokens of each level: the first is lightness, the second "
        "goes from yellow to blue, the third from green to red. What has the same colour is alike to the "
        "level; where the same place has the same colour in all frames, the level keeps where something is "
        "rather than what it is.",
    ),
    "time_similarity": (
        "How alike the moments of a video are",
        "The longest of some test videos: windows slide over it, and the units of each level are compared by "
        "the cosine of their centred features. Blocks on the diagonal are stretches that a level takes for "
        "one; lines mark where the labels of parts change. Grey: no unit has its middle there.",
    ),
    "prediction_errors": (
        "What predictions are worth, by time and place",
        "The error of each direction as a share of that against another video's target, on test windows; for "
        "the other view, the distance of a unit from itself, on training windows. At 1, nothing of the video "
        "is known.",
    ),
    "predicted_pixels": (
        "Predicted pixels",
        "What frames predict of their own pixels; of a masked autoencoder what it was shown, and how it completes "
        "that. Predictions have no mean and no contrast of their own: both are those of the true patch. So compare "
        "them with the last row, which has the means alone.",
    ),
    "nearest_videos": (
        "Nearest neighbours",
        "Test videos beside the training videos that are nearest to them at the last level. Worst are those "
        "that share their class with the fewest of their 20 nearest, and lie the nearest to others.",
    ),
    "confused_classes": (
        "Confused classes",
        "What the evaluation that chooses the checkpoint takes for what, on each level's own labels; of a "
        "large set the classes that are confused most.",
    ),
    "class_scores": (
        "Classes, one by one",
        "Accuracy (average precision where a video has several classes at once) with its 95 % interval; in "
        "brackets the number of test videos, or of parts of them.",
    ),
}
