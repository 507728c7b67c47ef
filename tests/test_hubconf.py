"""The encoder of a run from somebody else's program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from config.schema import Config
from runs.checkpoint import save_encoder
from tasks.encoder import build_hierarchy

REPOSITORY = Path(__file__).parents[1]
PROGRAM = """
import json, sys, torch
encoder = torch.hub.load(sys.argv[1], "encoder", sys.argv[2], source="local")
assert sys.argv[1] not in sys.path
with torch.no_grad():
    features, tokens = encoder.features_and_tokens(torch.zeros(2, encoder.inputs.frames, 3, 20, 44))
print(json.dumps({level: [list(features[level].shape), list(tokens[level].shape)] for level in features}))
"""


def test_torch_hub_loads_it_in_any_folder(tiny_config: Callable[..., Config], tmp_path: Path) -> None:
    config = tiny_config("load_size=[32,48]")
    torch.manual_seed(0)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    weights = build_hierarchy(config).state_dict()
    save_encoder(weights, {"config": config.model_dump()}, tmp_path / "run" / "checkpoints")
    command = [sys.executable, "-c", PROGRAM, str(REPOSITORY), "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "space": [[2, 6, 16], [2, 6, 6, 16]],
        "time": [[2, 3, 20], [2, 3, 2, 20]],
        "clip": [[2, 1, 24], [2, 1, 3, 24]],
    }
