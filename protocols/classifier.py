"""The classifier that a task has learned itself: what supervised training reaches."""

from __future__ import annotations

from config.errors import InputError
from protocols.protocol import NoSettings, Protocol, Score, Subject


class Classifier(Protocol[NoSettings]):
    """Accuracy of the task's own classifier on the last level's features, in percent; nothing where it has none."""

    title = "supervised"
    heading = "Supervised accuracy on the test split"
    note = "The classifier that was trained with the encoder."
    uses_classifier = True

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`; the untrained encoder has no classifier, so there is no score at random init."""
        if subject.classifier is None:
            return []
        import numpy as np
        import torch

        from protocols.predictions import Predictions, class_scores

        level, labels = list(subject.own.items())[-1]
        split = subject.data.split(subject.split)
        label_set = split.labels[labels]
        features_ND = torch.from_numpy(np.array(split.features[1][level][:, 0])).to(subject.data.device)
        with torch.no_grad():
            scores_NC = subject.classifier(features_ND).float()
        if scores_NC.shape[1] != len(label_set.classes):
            raise InputError(
                f"protocol classifier: the task has learned {scores_NC.shape[1]} classes and '{labels}' of "
                f"{subject.data.name} has {len(label_set.classes)}; score it on the data that it was trained on"
            )
        probabilities_NKC = scores_NC.softmax(dim=1)[:, None].cpu().numpy()
        predictions = Predictions(None, label_set, split.rows, probabilities_NKC)
        subject.keep(predictions)
        return class_scores(predictions, split.groups)
