"""What a run's folder says of it, finished or not, read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import InputError
from runs.folder import RunFolder
from runs.metrics import MetricLog
from runs.reporting.report.config_changes import flat
from runs.results import Result, primary, results_of
from runs.written_by import check_written_by


@dataclass(frozen=True)
class RunFiles:
    """A run as its files tell of it."""

    folder: RunFolder
    config_yaml: str
    environment: dict[str, Any]
    records: list[dict[str, Any]]
    summary: dict[str, Any]
    """{} where the run has not ended."""

    @classmethod
    def read(cls, root: Path) -> RunFiles:
        """Reads a run. InputError: it is not the folder of a run, or damaged, or of a newer version of the program."""
        run = RunFolder(root)
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; give the folder of a run, such as outputs/quickstart")
        if not run.config.is_file() or not run.metrics.is_file():
            raise InputError(f"{root} is not the folder of a run: it lacks config.yaml or metrics.jsonl")
        environment = _read_json(run.environment)
        check_written_by(environment, run.environment)
        try:
            config_yaml = run.config.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {run.config}: {error}") from None
        records = MetricLog.read(run.metrics)
        return cls(run, config_yaml, environment, records, _read_json(run.summary))

    @property
    def config(self) -> dict[str, str]:
        """Values by dotted key."""
        return flat(self.config_yaml)

    @property
    def ended(self) -> bool:
        """Whether it has been scored on its test videos."""
        return bool(self.summary)

    @property
    def results(self) -> list[Result]:
        """What tables show: of the test videos, or of the last validation where the run has not ended."""
        last = [record for record in self.records if record["kind"] == "validation"][-1:]
        for record in [self.summary] if self.ended else last:
            return primary(results_of(record, self.summary.get("own_labels")))
        return []

    @property
    def titles(self) -> dict[str, str]:
        """The titles of the evaluations, by name."""
        evaluations: Mapping[str, Mapping[str, str]] = self.summary.get("evaluations") or {}
        return {name: described["title"] for name, described in evaluations.items()}


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it, or give another run") from None
    return content if isinstance(content, dict) else {}
