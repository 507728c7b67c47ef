"""A loss, a regulariser and a task are each a class and one line in a table: a copy of the program gets one of each."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes import changed_files, copy_program, files_of, insert

ROOT = Path(__file__).resolve().parents[2]
OURS = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}

LOSS_FUNCTION = """
def quartic(prediction, target, scale):
    return ((prediction - target).float() / scale).pow(4).mean()

"""
LOSS = '''
class Quartic(PredictionLoss):
    """The fourth power of errors."""

    name: Literal["quartic"]
    scale: AboveZero = Field(default=1.0, description="error that counts as 1")

    def compute(self, prediction, target, centre_D):
        from losses import quartic

        return quartic(prediction, target, self.scale)


'''
REGULARIZER = '''
class Push(ProjectedRegularizer):
    """Vectors are pushed away from the origin."""

    name: Literal["push"]
    weight: NonNegative = Field(description="weight of the term")

    @property
    def is_active(self):
        return self.weight > 0

    def terms(self, projected_ND, generator):
        return {"push": self.weight * (-projected_ND.square().mean()).exp()}


'''
TASK = '''
from typing import ClassVar

from pydantic import Field

from tasks.settings import TaskSettings


class BrightnessSettings(TaskSettings):
    """Predicts the mean of a window's pixels."""

    takes_any_encoder: ClassVar[bool] = True
    factor: float = Field(default=2.0, description="of the brightness")

    def build(self, config, train):
        from tasks.brightness import BrightnessTask

        return BrightnessTask(config)
'''
TASK_FILE = """
from torch import nn

from data_utils.views.views import View
from tasks.brightness_settings import BrightnessSettings
from tasks.encoder import build_encoder, feature_dim
from tasks.task import ParameterGroup, Task


class BrightnessTask(Task):
    views = (View(),)

    def __init__(self, config):
        super().__init__()
        self.settings, self.level = config.section(BrightnessSettings), config.levels[-1]
        self.network, self.head = build_encoder(config), nn.Linear(feature_dim(config, config.levels[-1]), 1)

    @property
    def encoder(self):
        return self.network

    def losses(self, batch, step):
        wanted_B1 = self.settings.factor * batch.videos[0].flatten(1).mean(dim=1, keepdim=True)
        found_B1 = self.head(self.network(batch.videos[0])[self.level].flatten(0, 1))
        return {"brightness": {"error": (found_B1.float() - wanted_B1).square().mean()}}

    def parameter_groups(self):
        return {"brightness": ParameterGroup(list(self.network.parameters()), list(self.head.parameters()))}
"""
# Each trains a step and says what the config, the losses and the page of keys have of it.
PROGRAM = """
import sys, torch
from config.describe import describe
from config.load import load_config
from data_utils.batches.loader import Batch
from tasks import build_task
from train import Trainer

CONFIG = [
    "batch_size=4", "num_epochs=1", "num_workers=0", "mean=[0.3,0.3,0.3]", "std=[0.2,0.2,0.2]", "augmentation.flip=0.0",
    *(f"hierarchy.{level}={{dim: 16, layers: 1, heads: 1, head_dim: 8, mlp_dim: 8}}" for level in ("space", "time")),
]

class Noise:
    def epoch(self, epoch, first_batch=0):
        video = torch.randint(0, 256, (4, 8, 3, 36, 36), dtype=torch.uint8)
        yield Batch(video, torch.arange(4), torch.arange(8).expand(4, -1), [])

def train(*overrides):
    config = load_config("quickstart", [*CONFIG, *overrides]).config
    trainer = Trainer(build_task(config, None), config, 1, torch.device("cpu"))
    report = next(trainer.epoch(Noise(), 0, 0, lambda failed: None))
    assert not report.skipped
    return config, report.loss

config, loss = train("hierarchical.loss={name: quartic, scale: 0.5}")
assert config.model_dump()["hierarchical"]["loss"] == {"name": "quartic", "scale": 0.5}
assert set(loss["space"]) >= {"up", "down", "side"}
config, loss = train("hierarchical.regularizer={name: push, weight: 2.0, proj_dim: 8, min_vectors: 4}")
assert loss["clip"]["push"] > 0
for encoder in ("hierarchical", "s3d"):
    config, loss = train("task=brightness", f"encoder={encoder}", "brightness.factor=3.0")
    assert config.model_dump()["brightness"] == {"factor": 3.0}
    assert loss["brightness"]["error"] > 0
page = describe()
for words in ("| `hierarchical.loss.scale` (`name: quartic`)", "| `push` |", "### `task: brightness`"):
    assert words in page, words
for wrong, hint in (("brightness.faktor=1", "did you mean brightness.factor?"), ("task=brightnes", "'brightness'")):
    try:
        load_config("quickstart", [wrong])
    except Exception as error:
        assert hint in str(error), error
    else:
        raise AssertionError(wrong)
print("trained")
"""


def test_the_recipes_for_a_loss_and_a_task_touch_the_files_that_they_list(tmp_path: Path) -> None:
    copy_program(tmp_path)
    insert(tmp_path / "losses.py", "\ndef variance_term(", LOSS_FUNCTION)
    losses, regularizers = tmp_path / "tasks/prediction_losses.py", tmp_path / "tasks/regularizers.py"
    insert(losses, "LOSSES: tuple", LOSS)
    insert(losses, "    Barlow,\n)", "    Quartic,\n")
    assert changed_files(tmp_path) == files_of("a loss", "quartic")
    insert(regularizers, "REGULARIZERS: tuple", REGULARIZER)
    insert(regularizers, "    NoRegularizer,\n)", "    Push,\n")
    (tmp_path / "tasks/brightness_settings.py").write_text(TASK)
    (tmp_path / "tasks/brightness.py").write_text(TASK_FILE)
    table = tmp_path / "tasks/table.py"
    insert(table, "from tasks.hierarchical_settings", "from tasks.brightness_settings import BrightnessSettings\n")
    insert(table, '    "svt": SVTSettings,\n', '    "brightness": BrightnessSettings,\n')
    listed = files_of("a loss", "quartic") | {"tasks/regularizers.py"} | files_of("a task", "brightness")
    assert changed_files(tmp_path) == listed
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "trained"


# ---------------------------------------------------------------------------------------- who knows what of whom


def imported(file: Path) -> set[str]:
    """What of ours a file imports, by the first part of the name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names & OURS


@pytest.mark.parametrize(
    "file", ["losses.py", *(f"architecture/{path.name}" for path in ROOT.glob("architecture/*.py"))]
)
def test_losses_and_architecture_know_nothing_of_configs_and_tasks(file: str) -> None:
    assert imported(ROOT / file) <= {"architecture", "losses", "parallel"}
    words = (ROOT / file).read_text()
    assert "InputError" not in words
    assert "config." not in words
