"""One file per protocol, its settings in it; this table is all else that a protocol needs."""

from typing import Any

from protocols.classifier import Classifier
from protocols.finetune import Finetune
from protocols.knn import KNN
from protocols.linear_probe import LinearProbe
from protocols.protocol import Protocol

PROTOCOLS: dict[str, type[Protocol[Any]]] = {
    "knn": KNN,
    "linear_probe": LinearProbe,
    "finetune": Finetune,
    "classifier": Classifier,
}
"""By the name that the config has for it."""
