"""Videos to prepare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data_utils.prepare.conversion.engine_scaffolding import make_raw


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> Path:
    """Eight videos of 5 to 12 frames; copy it to change it."""
    folder = tmp_path_factory.mktemp("engine") / "raw"
    make_raw(folder, write_video)
    return folder


@pytest.fixture
def paths(raw: Path) -> list[str]:
    return sorted(str(file.relative_to(raw)) for file in raw.rglob("*.mp4"))
