"""A second run that writes over the first one loses what cannot be had again. Here every run gets its own folder."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.curriculum import STAGE_CHECKPOINT
from config.errors import InputError
from config.places import check_run_name, place
from runs.kept_checkpoints import numbered_steps


@dataclass(frozen=True)
class RunFolder:
    """Where everything that one run produces lies; `RunFolder.open` makes or finds it."""

    root: Path

    @classmethod
    def open(cls, save_path: str | Path, model_name: str, resume: bool | Literal["auto"]) -> RunFolder:
        """Make the folder of a new run, or find the one of a run to continue; a file is really written to try it.

        Args:
            save_path: the folder that holds the run folders; made where missing; `~` is the home folder.
            model_name: the run's name, one path component.
            resume: continue the run of that name instead of starting it; auto: where it has a checkpoint; what a
                start left that was killed before its first one is used again.

        Raises:
            InputError: the name cannot name a folder, is taken (`resume=False`, or by something else than a run that
                can go on), has nothing to continue (`resume=True`), or the folder cannot be written.
        """
        check_run_name(model_name)
        run = cls(place(save_path, "save_path") / model_name)
        try:
            taken = run.root.exists() or run.root.is_symlink()
            if resume is True or (resume and run.has_checkpoint()):
                run._require_checkpoint()
            elif taken and not (resume and run._has_hardly_begun()):
                raise InputError(run._taken())
            run._create()
        except OSError as error:
            raise InputError(
                f"cannot write to {run.root}: {error.strerror or error}; choose another folder with save_path=..."
            ) from error
        return run

    @property
    def config(self) -> Path:
        """The full, merged config, YAML."""
        return self.root / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions, device, git commit, command, JSON."""
        return self.root / "environment.json"

    @property
    def metrics(self) -> Path:
        """One object per logged step and validation, JSON lines; `MetricLog` writes it."""
        return self.root / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        """The final numbers with their floors, JSON."""
        return self.root / "summary.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints and of the exported encoder."""
        return self.root / "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint that a run is resumed from."""
        return self.checkpoints / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation score."""
        return self.checkpoints / "best.pt"

    @property
    def features(self) -> Path:
        """Folder of features that take too much memory; it can be deleted, and is made again."""
        return self.root / "features"

    @property
    def epoch_features(self) -> Path:
        """Folder of the features of some videos after some of the epochs, for figures; it can be deleted."""
        return self.root / "epoch_features"

    @property
    def predictions(self) -> Path:
        """Folder of what classifiers say of the test videos, CSV."""
        return self.root / "predictions"

    def stage(self, number: int) -> Path:
        """The checkpoint that a stage of a curriculum leaves to the next one."""
        return self.root / STAGE_CHECKPOINT.format(number)

    @property
    def carry_over(self) -> Path:
        """Every tensor of a run that starts from another checkpoint, or stage: where it comes from, JSON."""
        return self.root / "carry_over.json"

    @property
    def figures(self) -> Path:
        """Folder of the figures, PNG."""
        return self.root / "figures"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files; there only where `tracking` asks for it."""
        return self.root / "tensorboard"

    @property
    def wandb(self) -> Path:
        """Folder of W&B's files; there only where `tracking` asks for it."""
        return self.root / "wandb"

    @property
    def report(self) -> Path:
        """The report, one self-contained HTML file."""
        return self.root / "report.html"

    @property
    def lock(self) -> Path:
        """Who uses the folder, JSON; there only while somebody does."""
        return self.root / "lock.json"

    @property
    def error(self) -> Path:
        """The traceback of an unexpected error."""
        return self.root / "error.txt"

    @property
    def bad_videos(self) -> Path:
        """The videos that could not be read, and why, CSV."""
        return self.root / "bad_videos.csv"

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to go on from; it may be damaged."""
        return self.last.exists() or bool(numbered_steps(self.last))

    def forget_what_had_begun(self) -> None:
        """Removes the lines that a start has logged that was killed before its first checkpoint."""
        self.metrics.unlink(missing_ok=True)

    def _has_hardly_begun(self) -> bool:
        """Whether the folder holds no more than what a start writes before its first checkpoint."""
        if not self.root.is_dir() or self.summary.exists() or any(self.checkpoints.glob("*.pt")):
            return False
        if self.metrics.is_file() and any(b'"kind": "step"' in line for line in self.metrics.open("rb")):
            return False
        at_first = (path.is_dir() or path.name.startswith(".") or path == self.lock for path in self.root.rglob("*"))
        return self.config.is_file() or all(at_first)

    def discard_if_unused(self) -> bool:
        """Remove the folder of a run that failed before its first step, so that the name is free for the next try.

        Only what a start writes by itself is ever removed: the config, the environment, empty files and folders, and
        a bad_videos.csv without rows. Anything else keeps the whole folder.

        Returns:
            Whether the folder is gone.
        """
        if not self.root.is_dir() or not all(self._is_expendable(path) for path in self.root.rglob("*")):
            return False
        shutil.rmtree(self.root)
        return True

    def bad_video_rows(self) -> list[list[str]]:
        """Header and rows of bad_videos.csv; empty where there is none."""
        if not self.bad_videos.is_file():
            return []
        # Names of files need not be UTF-8.
        with self.bad_videos.open(newline="", encoding="utf-8", errors="replace") as file:
            return [row for row in csv.reader(file) if row]

    def _is_expendable(self, path: Path) -> bool:
        if path.is_symlink():
            return False
        if path.is_dir():
            return path in (self.checkpoints, self.figures, self.epoch_features)
        if path == self.bad_videos:
            return len(self.bad_video_rows()) <= 1
        by_itself = (self.config, self.environment, self.carry_over, self.lock)
        if path in by_itself or path.parent == self.epoch_features:
            return True
        return path == self.metrics and path.stat().st_size == 0

    def _require_checkpoint(self) -> None:
        if not self.root.is_dir():
            raise InputError(f"resume=true, but there is no run folder {self.root}; start the run with resume=false")
        if self.last.exists() and not self.last.is_file():
            raise InputError(f"resume=true, but {self.last} is not a regular file; put the checkpoint itself there")
        if not self.has_checkpoint():
            raise InputError(
                f"resume=true, but {self.last} does not exist: the run ended before its first checkpoint; "
                "start it anew with resume=false under another model_name=..., or remove the folder"
            )

    def _taken(self) -> str:
        """Why the existing `root` is not used, and what to do, in one line."""
        if not self.root.is_dir():
            return f"{self.root} is taken by a file; choose another name with model_name=..."
        if self.last.is_file():
            return f"run {self.root} exists; continue it with resume=true or choose another name with model_name=..."
        lists = ""
        if (bad := len(self.bad_video_rows()) - 1) > 0:
            lists = f", and its {self.bad_videos.name} lists {bad} unreadable video{'s' if bad > 1 else ''}"
        return (
            f"run folder {self.root} exists without a checkpoint to resume from{lists}; "
            "remove it or choose another name with model_name=..."
        )

    def _create(self) -> None:
        """Make the folders and try a write. A new folder that turns out not to be writable is removed again."""
        new = not self.root.exists()
        self.root.mkdir(parents=True, exist_ok=not new)
        probe = self.root / ".writable"
        try:
            self.checkpoints.mkdir(exist_ok=True)
            self.figures.mkdir(exist_ok=True)
            probe.write_bytes(b"x" * 4096)
            probe.unlink()
        except OSError:
            if new:
                shutil.rmtree(self.root, ignore_errors=True)
            else:
                probe.unlink(missing_ok=True)
            raise
