"""From questions to the classifier that answers each: the whole grid is trained, and some videos choose."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from protocols.encoded_split import FloatArray
from protocols.probes.choosing import Quality, quality
from protocols.probes.entries import Entry, rounds
from protocols.probes.probe import Learner, Lesson, Probe
from protocols.probes.questions import Question

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """The classifier of the chosen entry."""

    learner: Learner
    quality: Quality | None
    """On the videos that chose it; None where there was no choice."""


def tell_memory(probe: Probe, groups: Sequence[Sequence[Question]]) -> None:
    """Says, before anything is trained, what the largest training will take on the device."""
    told = []
    for group in groups:
        at_once = _at_once(probe, group)
        of_grid = at_once * _bytes(probe, group)
        of_inputs, inputs = probe.input_bytes(group, probe.limit - of_grid)
        entries, outputs = _most_entries(group), max(question.targets.outputs for question in group)
        together = "all at once" if at_once == entries else f"{at_once} at once"
        grid = f"{entries} classifiers of {outputs} classes, {together}, {megabytes(of_grid)}"
        told.append((of_grid + of_inputs, f"{grid}; {inputs}, {megabytes(of_inputs)}"))
    if told:
        total, words = max(told)
        logger.info("%s takes up to %s: %s", probe.title, megabytes(total), words)


def answers(probe: Probe, group: Sequence[Question]) -> list[Answer]:
    """Trains the grid of every question of a group, and lets the choosers choose.

    What was chosen by training videos that had been held out is trained once more, on all of them.
    """
    best: dict[int, Answer] = {}
    at_once = _at_once(probe, group)
    left = probe.limit - at_once * _bytes(probe, group)
    for start in range(0, _most_entries(group), at_once):
        lessons: list[Lesson] = []
        places = []
        for place, question in enumerate(group):
            if entries := question.entries[start : start + at_once]:
                lessons.append(_lesson(probe, question, entries, question.first_videos_N))
                places.append(place)
        probe.train(lessons, left)
        for place, (learner, question, _) in zip(places, lessons, strict=True):
            best[place] = _better(probe, best.get(place), learner, question)
    found = [best[place] for place in range(len(group))]
    again = [place for place, question in enumerate(group) if question.retrains]
    lessons = [
        _lesson(probe, group[place], found[place].learner.entries, group[place].targets.known_N) for place in again
    ]
    if lessons:
        probe.train(lessons, left)
    for place, (learner, _, _) in zip(again, lessons, strict=True):
        found[place] = replace(found[place], learner=learner)
    return found


def _lesson(probe: Probe, question: Question, entries: Sequence[Entry], videos_N: NDArray[np.bool_]) -> Lesson:
    return probe.untrained(question, entries, videos_N), question, videos_N


def _better(probe: Probe, best: Answer | None, learner: Learner, question: Question) -> Answer:
    """The best answer so far, and among the classifiers that were trained now."""
    if not question.is_open or question.chooser is None:
        return Answer(learner.only(0), None)
    split, chooses_N = question.chooser.split, question.chooser.chooses_N
    labels = probe.material.labels(split, question.labels)
    of_videos_GNKS, _ = video_probabilities(probe, learner, question, split, chooses_N)
    for number, of_videos_NKS in enumerate(of_videos_GNKS):
        found = quality(question.targets.of_all_classes(of_videos_NKS[chooses_N]), labels, chooses_N)
        if best is None or best.quality is None or found > best.quality:
            best = Answer(learner.only(number), found)
    assert best is not None
    return best


@torch.no_grad()
def video_probabilities(
    probe: Probe,
    learner: Learner,
    question: Question,
    split: str,
    wanted_N: NDArray[np.bool_],
    *,
    keep_views: bool = False,
) -> tuple[FloatArray, FloatArray | None]:
    """The mean probabilities over the views of each video that is wanted.

    Args:
        probe: gives the inputs.
        learner: the classifiers.
        question: that they answer.
        split: whose videos.
        wanted_N: of its videos; of others, and of parts that no view shows, probabilities are 0.
        keep_views: whether the probabilities of the first classifier are wanted view by view, too.

    Returns:
        [G, N, K, S]; and [V, K, S] or None.
    """
    views, targets = probe.material.splits[split], question.targets
    shown_VK = views.view_shown[targets.parts] > 0
    shape = targets.parts, targets.outputs
    sums_GNKS = torch.zeros(len(learner.entries), len(wanted_N), *shape)
    counts_NK = torch.zeros(len(wanted_N), targets.parts)
    of_views_VKS = np.zeros((len(shown_VK), *shape), np.float32) if keep_views else None
    for view_B, inputs in probe.inputs(question, split):
        keep_B = wanted_N[views.view_video[view_B]]
        if not keep_B.any():
            continue
        probabilities_GBKS = targets.probabilities(learner.logits(inputs)).cpu()
        shown_BK = torch.from_numpy(shown_VK[view_B] & keep_B[:, None])
        video_B = torch.from_numpy(np.ascontiguousarray(views.view_video[view_B]))
        # On the CPU: a GPU would add them in no fixed order. What a view does not show may be any number.
        counted_GBKS = torch.where(shown_BK[:, :, None], probabilities_GBKS, torch.zeros(()))
        sums_GNKS.index_add_(1, video_B, counted_GBKS)
        counts_NK.index_add_(0, video_B, shown_BK.float())
        if of_views_VKS is not None:
            of_views_VKS[view_B] = probabilities_GBKS[0].numpy()
    sums_GNKS /= counts_NK.clamp(min=1)[:, :, None]
    return sums_GNKS.numpy(), of_views_VKS


def megabytes(size: float) -> str:
    """In words."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


def _most_entries(group: Sequence[Question]) -> int:
    return max(len(question.entries) for question in group)


def _at_once(probe: Probe, group: Sequence[Question]) -> int:
    """Entries of the grid that are trained at once: those that fit into half of what may be taken."""
    entries = max((question.entries for question in group), key=len)
    return len(rounds(entries, _bytes(probe, group), probe.limit // 2)[0])


def _bytes(probe: Probe, group: Sequence[Question]) -> int:
    """What one entry takes: in training, and the probabilities of the videos that choose."""
    total = 0
    for question in group:
        total += probe.entry_bytes(question)
        if question.is_open and question.chooser is not None:
            total += 4 * len(question.chooser.chooses_N) * question.outputs
    return total
