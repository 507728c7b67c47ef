"""The classifier that a task has learned itself: what supervised training reaches."""

from __future__ import annotations

from config.errors import InputError
from protocols.protocol import NoSettings, Protocol, Score, Subject


class Classifier(Protocol[NoSettings]):
    """Accuracy of the task's own classifier on the last level's features, in percent; nothing where it has none."""

    title = "supervised"
    heading = "Supervised accuracy on the test split"
    note = "The classifier that was trained with the encoder."

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`; the untrained encoder has no classifier, so there is no score at random init."""
        if subject.classifier is None:
            return []
        import torch

        from protocols.metrics import accuracy_score

        level, labels = list(subject.own.items())[-1]
        split = subject.data.split(subject.split)
        label_set = split.labels[labels]
        known_N = label_set.is_known
        if not known_N.any():
            return []
        features_ND = torch.from_numpy(split.features[1][level][known_N, 0]).to(subject.data.device)
        with torch.no_grad():
            scores_NC = subject.classifier(features_ND)
        if scores_NC.shape[1] != len(label_set.classes):
            raise InputError(
                f"protocol classifier: the task has learned {scores_NC.shape[1]} classes and '{labels}' of "
                f"{subject.data.name} has {len(label_set.classes)}; score it on the data that it was trained on"
            )
        right_N = scores_NC.argmax(dim=1).cpu().numpy() == label_set.values[known_N, 0]
        return [accuracy_score(None, label_set, float(right_N.mean()))]
