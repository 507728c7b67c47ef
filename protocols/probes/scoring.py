"""From the classifiers that were chosen to scores, predictions, and a line that says what was chosen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from data_utils.catalog.annotations.multi import MultiLabelSet
from protocols.predictions import Keep, MultiPredictions, Predictions, ViewPredictions, class_scores, multi_scores
from protocols.probes.answering import Answer, answers, megabytes, tell_memory, video_probabilities
from protocols.probes.entries import Entry
from protocols.probes.probe import Probe
from protocols.probes.questions import Question, questions_of
from protocols.protocol import Score

logger = logging.getLogger(__name__)


def probed(
    probe: Probe, labels: Mapping[str, Sequence[str]], entries: Sequence[Entry], middle: Entry, keep: Keep
) -> list[Score]:
    """Scores every level and label set of which there are labelled videos, to learn from and to be asked about.

    Args:
        probe: the kind of classifier.
        labels: by level, the label sets.
        entries: of the grid.
        middle: the entry for label sets with too few videos to choose by.
        keep: is given what the chosen classifiers say of each video.
    """
    questions = questions_of(probe.material, labels, entries, middle)
    groups = probe.groups(questions)
    tell_memory(probe, groups)
    chosen: dict[int, Answer] = {}
    scores: dict[int, list[Score]] = {}
    for group in groups:
        for question, answer in zip(group, answers(probe, group), strict=True):
            chosen[id(question)] = answer
            found = _scores(probe, question, answer, keep)
            scores[id(question)] = found + (_choice(question, answer) if found else [])
        probe.done(group)
    if len(entries) > 1:
        _tell_choices(probe.title, [(question, chosen[id(question)]) for question in questions])
    return [score for question in questions for score in scores[id(question)]]


def _scores(probe: Probe, question: Question, answer: Answer, keep: Keep) -> list[Score]:
    """What the classifier is worth on the split that is scored."""
    name, targets = probe.material.asked, question.targets
    split, labels = probe.material.splits[name], probe.material.labels(name, question.labels)
    videos, views = len(split.rows), len(split.view_video)
    size = 4 * views * targets.parts * len(labels.classes)
    keep_views = views > videos and not targets.several and size <= probe.limit
    if views > videos and not targets.several and not keep_views:
        logger.info(
            "%s: no acc of single views for %s, whose probabilities would take %s; memory_mb can be raised",
            *(probe.title, question.labels, megabytes(size)),
        )
    every_N = np.ones(videos, np.bool_)
    of_videos, of_views = video_probabilities(probe, answer.learner, question, name, every_N, keep_views=keep_views)
    probabilities_NKC = targets.of_all_classes(of_videos[0])
    if isinstance(labels, MultiLabelSet):
        multi = MultiPredictions(question.level, labels, split.rows, probabilities_NKC[:, 0])
        keep(multi)
        return multi_scores(multi, split.groups)
    alone = None
    if of_views is not None:
        shown_VK = split.view_shown[targets.parts] > 0
        alone = ViewPredictions(targets.of_all_classes(of_views), split.view_video, shown_VK)
    single = Predictions(question.level, labels, split.rows, probabilities_NKC, alone)
    keep(single)
    return class_scores(single, split.groups)


def _choice(question: Question, answer: Answer) -> list[Score]:
    """The chosen entry, and its score on the videos that chose it."""
    (entry,) = answer.learner.entries
    numbers = {"lr": (entry.lr, ""), "weight_decay": (entry.weight_decay, "")}
    if answer.quality is not None:
        numbers["choosing_score"] = (answer.quality.score, "%")
    return [
        Score(question.level, question.labels, metric, value, unit=unit, primary=False)
        for metric, (value, unit) in numbers.items()
    ]


def _tell_choices(title: str, answered: Sequence[tuple[Question, Answer]]) -> None:
    """A line for each level that says which entries were taken, and why."""
    told: dict[tuple[str, str], list[str]] = {}
    for question, answer in answered:
        (entry,) = answer.learner.entries
        if answer.quality is None or question.chooser is None:
            by, score = f"not chosen, since {question.targets.known_N.sum()} training videos have labels", ""
        else:
            by, score = f"chosen on {question.chooser.words}", f" ({answer.quality.score:.1f} %)"
        told.setdefault((question.level, by), []).append(f"{question.labels} {entry}{score}")
    for (level, by), choices in told.items():
        logger.info("%s of %s, %s: %s", title, level, by, "; ".join(choices))
