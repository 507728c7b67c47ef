"""What the environment says of this process, without torch: a typo in a command must not wait for its import."""

from __future__ import annotations

import os


def is_follower() -> bool:
    """Whether this process was started as another than the first one, before it has joined them, too."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and os.environ.get("RANK", "0") != "0"
