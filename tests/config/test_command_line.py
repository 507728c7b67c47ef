"""What needs no experiment is said before an experiment's packages are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config.command_line import read_command_line
from config.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "torchvision", "numpy", "scipy", "sklearn", "pandas", "umap", "numba", "matplotlib", "timm", "av"}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--help"], 0, "usage: main.py"),
        ([], 2, "usage: main.py"),
        (["quickstart.yaml", "--print-config"], 0, "model_name: quickstart"),
        (["quickstart.yaml", "task=svt", "--print-config"], 0, "# task svt with encoder hierarchical does not use "),
        (["quickstart.yaml", "--print-name"], 0, "quickstart"),
        (["quickstart.yaml", "model_name=a/b", "--print-name"], 2, "error: model_name: 'a/b' cannot name a folder; "),
        (["quickstart.yaml", "--print-name", "--print-config"], 2, "usage: main.py"),
        (["quikstart.yaml"], 2, "error: config quikstart.yaml not found; did you mean quickstart.yaml?"),
        (
            ["quickstart.yaml", "num_epoch=3"],
            2,
            "error: unknown key num_epoch (command line)",
        ),
        (["quickstart.yaml", "num_epochs=many"], 2, "error: num_epochs (command line): expected a whole number"),
    ],
    ids=["help", "nothing", "print-config", "unused", "print-name", "no name", "both", "config", "key", "value"],
)
def test_nothing_heavy_is_imported_for(arguments: list[str], status: int, says: str) -> None:
    command = [sys.executable, "-X", "importtime", str(ROOT / "main.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    imports = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in imports}
    messages = [line for line in done.stderr.splitlines() if line not in imports]
    assert done.returncode == status
    assert any(line.startswith(says) for line in [*done.stdout.splitlines(), *messages])
    assert not [line for line in messages if line.startswith("Traceback")]
    assert "pydantic" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["quickstart"], "quickstart"),
        (["quickstart.yaml", "model_name='ein Läufer $1'", "task=vicreg"], "ein Läufer $1"),
        (["quickstart.yaml", "model_name=2026"], None),
    ],
)
def test_the_name_and_nothing_else_is_printed(
    arguments: list[str], name: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if name is None:
        with pytest.raises(InputError, match="model_name"):
            read_command_line([*arguments, "--print-name"])
    else:
        assert read_command_line([*arguments, "--print-name"]) is None
    assert capsys.readouterr().out == (f"{name}\n" if name else "")
