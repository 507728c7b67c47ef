"""What a run must not wait for before its first step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LATE = ("matplotlib", "sklearn", "umap", "numba", "timm", "torchvision", "wandb", "torch._dynamo")


def test_main_and_the_embedded_data_import_nothing_that_is_only_needed_later() -> None:
    code = f"import sys, main, data_utils.prepare.moving_digits; print([n for n in {LATE} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
