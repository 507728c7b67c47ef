"""One file per protocol, its settings in it; this table is all else that a protocol needs."""

from typing import Any

from protocols.attentive_probe import AttentiveProbe
from protocols.averaged_probe import AveragedProbe
from protocols.classifier import Classifier
from protocols.clustering import Clustering
from protocols.finetune import Finetune
from protocols.knn import KNN
from protocols.linear_probe import LinearProbe
from protocols.protocol import Protocol
from protocols.retrieval import Retrieval
from protocols.temporal_order import TemporalOrder

PROTOCOLS: dict[str, type[Protocol[Any]]] = {
    "knn": KNN,
    "linear_probe": LinearProbe,
    "attentive_probe": AttentiveProbe,
    "finetune": Finetune,
    "averaged_probe": AveragedProbe,
    "retrieval": Retrieval,
    "clustering": Clustering,
    "temporal_order": TemporalOrder,
    "classifier": Classifier,
}
"""By the name that the config has for it."""
