"""Clustering: do the features fall into groups that are the classes, without any label to learn from?"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from config.section import Positive, Section
from protocols.protocol import Protocol, Score, Subject

if TYPE_CHECKING:
    from protocols.encoded_split import EncodedSplit, FloatArray, Groups, IntArray

RESAMPLES = 200  # of videos or groups, for an interval

logger = logging.getLogger(__name__)


class ClusteringSettings(Section):
    """`settings` of an evaluation by `protocol: clustering`."""

    starts: Positive = Field(default=10, description="k-means begins so many times, the tightest clusters count")
    max_iter: Positive = Field(default=300, description="iterations of a start at most")
    videos: Positive = Field(default=20_000, description="at most so many videos of the split are clustered")


class Clustering(Protocol[ClusteringSettings]):
    """How well k-means with as many clusters as there are classes finds the classes: NMI and ARI, in percent."""

    Settings = ClusteringSettings
    title = "clustering"
    heading = "Clustering"
    note = "k-means on the frozen features of the test videos; labels only say how well its clusters fit the classes."
    has_pixel_floor = True

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`; training videos are not looked at."""
        return clustering_scores(subject.data.split(subject.split), subject.labels, self.settings, subject.seed)


def clustering_scores(
    split: EncodedSplit, labels: Mapping[str, Sequence[str]], settings: ClusteringSettings, seed: int
) -> list[Score]:
    """Agreement of clusters and classes, by level and label set; one with K parts is clustered part by part.

    Args:
        split: the videos; those without a label are left out.
        labels: by level, the label sets.
        settings: of k-means.
        seed: of its starts, and of the choice where there are too many videos.

    Returns:
        `NMI`, mutual information over the mean of both entropies (Strehl and Ghosh, 2002), whose chance is its expected
        value for random clusters of the same sizes (Vinh et al., 2010); and `ARI`, the adjusted Rand index (Hubert and
        Arabie, 1985), whose chance is 0. Both are 100 where clusters are classes.
    """
    import numpy as np

    scores = []
    for level, names in labels.items():
        for name in names:
            label_set = split.labels[name]
            videos_M = _chosen(np.flatnonzero(label_set.is_known), settings.videos, seed, name)
            truth_MK = label_set.values[videos_M]
            parts = range(truth_MK.shape[1])
            if len(videos_M) == 0:  # told when the evaluations were planned
                continue
            if any(len(np.unique(truth_MK[:, part])) < 2 for part in parts):
                logger.warning("clustering does not score '%s': the videos show one class alone", name)
                continue
            features = split.features[len(parts)][level]
            cluster_MK = np.stack(
                [k_means(features[videos_M, part], truth_MK[:, part], settings, seed) for part in parts], axis=1
            )
            scores += _agreement(level, name, truth_MK, cluster_MK, _groups(split.groups, videos_M), seed)
    return scores


def _chosen(known_M: IntArray, most: int, seed: int, name: str) -> IntArray:
    """The videos that are clustered, in order."""
    import numpy as np

    from runs.process.seeds import numpy_generator

    if len(known_M) <= most:
        return known_M
    logger.info("clustering of '%s' takes %d of %d videos, drawn at random", name, most, len(known_M))
    return np.sort(numpy_generator(seed, len(known_M)).permutation(known_M)[:most])


def _groups(groups_N: Groups, videos_M: IntArray) -> IntArray:
    """[M] the number of each video's group; each is one of its own where there are no groups."""
    import numpy as np

    if groups_N is None:
        return np.arange(len(videos_M))
    numbers: IntArray = np.unique(groups_N[videos_M].astype(str), return_inverse=True)[1]
    return numbers


def k_means(features_MD: FloatArray, truth_M: IntArray, settings: ClusteringSettings, seed: int) -> IntArray:
    """The cluster of each video, [M], of as many as `truth_M` has classes; features are centred and of length 1."""
    import numpy as np
    from sklearn.cluster import KMeans

    from runs.process.seeds import numpy_generator

    centred_MD = features_MD - features_MD.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred_MD /= np.maximum(np.linalg.norm(centred_MD, axis=1, keepdims=True), 1e-12)
    start = int(numpy_generator(seed, 0).integers(2**31))
    classes = len(np.unique(truth_M))
    clusters: IntArray = (
        KMeans(classes, n_init=settings.starts, max_iter=settings.max_iter, random_state=start).fit(centred_MD).labels_
    )
    return clusters


def _agreement(
    level: str, labels: str, truth_MK: IntArray, cluster_MK: IntArray, group_M: IntArray, seed: int
) -> list[Score]:
    """NMI and ARI, the means over parts, each with its chance and the interval of a bootstrap over groups."""
    import numpy as np
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    def measure(chosen_M: IntArray) -> tuple[float, float]:
        pairs = list(zip(truth_MK[chosen_M].T, cluster_MK[chosen_M].T, strict=True))
        nmi = [normalized_mutual_info_score(truth_M, cluster_M) for truth_M, cluster_M in pairs]
        return 100 * float(np.mean(nmi)), 100 * float(np.mean([adjusted_rand_score(*pair) for pair in pairs]))

    nmi, ari = measure(np.arange(len(truth_MK)))
    resampled_S2 = np.array([measure(chosen_M) for chosen_M in _resamples(group_M, seed)])
    low_2, high_2 = np.percentile(resampled_S2, [2.5, 97.5], axis=0)
    nmi_interval, ari_interval = map(float, (high_2 - low_2) / 2)
    by_chance = [expected_nmi(truth_M, cluster_M) for truth_M, cluster_M in zip(truth_MK.T, cluster_MK.T, strict=True)]
    return [
        Score(level, labels, "NMI", nmi, 100 * float(np.mean(by_chance)), nmi_interval),
        Score(level, labels, "ARI", ari, 0.0, ari_interval, primary=False),
    ]


def _resamples(group_M: IntArray, seed: int) -> list[IntArray]:
    """Videos of as many groups as there are, drawn with replacement, `RESAMPLES` times."""
    import numpy as np

    from runs.process.seeds import numpy_generator

    order_M = np.argsort(group_M, kind="stable")
    members = np.split(order_M, np.flatnonzero(np.diff(group_M[order_M])) + 1)
    generator = numpy_generator(seed, len(members), RESAMPLES)
    drawn_SG = generator.integers(len(members), size=(RESAMPLES, len(members)))
    return [np.concatenate([members[number] for number in drawn_G]) for drawn_G in drawn_SG]


def expected_nmi(truth_M: IntArray, cluster_M: IntArray) -> float:
    """The NMI in [0, 1] that random clusters of the same sizes would have: more than 0, the more clusters there are."""
    from scipy.stats import entropy
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    counts = contingency_matrix(truth_M, cluster_M)
    mean = (entropy(counts.sum(axis=0)) + entropy(counts.sum(axis=1))) / 2
    return float(expected_mutual_information(counts, len(truth_M)) / mean)
