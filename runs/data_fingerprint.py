"""A run that goes on with other videos than it began with mixes two experiments, and its curves do not show it.

So every checkpoint holds a fingerprint of the data: which videos each split has, their facts and their labels. Paths
are relative to the dataset's folder; the frames themselves are not looked at.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from config.errors import InputError

if TYPE_CHECKING:
    from data_utils.catalog.catalog import Catalog

logger = logging.getLogger(__name__)

_FACTS = ("frames", "height", "width", "fps")
# What the fingerprint of a split has beside the number of its videos, and how a difference is told.
_PARTS = {
    "paths": "other videos, or in another order",
    "facts": "other lengths, sizes or frame rates",
    "labels": "other labels",
}


def data_fingerprint(catalogs: Mapping[str, Catalog]) -> dict[str, dict[str, Any]]:
    """By split: the number of its videos, and digests of their paths, facts and labels."""
    return {split: _of_split(catalog) for split, catalog in catalogs.items()}


def _of_split(catalog: Catalog) -> dict[str, Any]:
    table = catalog.table
    facts = table[[name for name in _FACTS if name in table]]
    labels = (f"{name}:{label_set.classes}:{label_set.values.tolist()}" for name, label_set in catalog.labels.items())
    return {
        "videos": len(table),
        "paths": _digest(map(str, table["path"])),
        "facts": _digest([facts.to_csv(index=False, float_format="%.6g")]),
        "labels": _digest(sorted(labels)),
    }


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode(errors="surrogatepass") + b"\0")
    return digest.hexdigest()


def check_same_data(then: Mapping[str, Any], catalogs: Mapping[str, Catalog], path: str, *, other_data: bool) -> None:
    """Looks whether a run goes on with the data that it began with.

    Args:
        then: the fingerprint in the checkpoint; empty in those of older versions, which go on.
        catalogs: of this start.
        path: of the checkpoint, for the message.
        other_data: whether other videos are wanted; then they are only told.

    Raises:
        InputError: training or validation videos are others. Test videos change nothing of the training, and may be.
    """
    if not then:
        return
    now = data_fingerprint(catalogs)
    changes = {split: words for split in now if (words := _difference(then.get(split, {}), now[split]))}
    if not changes:
        return
    told = "; ".join(f"{split} has {words}" for split, words in changes.items())
    if other_data or set(changes) <= {"test"}:
        logger.warning("the data is not that of %s: %s", path, told)
        return
    raise InputError(
        f"the data is not that of {path}: {told}; bring it back, set checkpoint.other_data=true to go on with what "
        "there is now, or start a new run with another model_name"
    )


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What is other in a split, in words; empty where nothing is."""
    if then.get("videos") != now["videos"]:
        return f"{now['videos']} videos and had {then.get('videos', 0)}"
    return " and ".join(words for part, words in _PARTS.items() if then.get(part) != now[part])
