"""One run at W&B, as its package wants it. Everything here may wait for the network: call it in the background."""

from __future__ import annotations

import logging
import re
import shutil
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from runs.tracking.wandb_key import DEFAULT_FILE, VARIABLE

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger(__name__)

KNOCK_SECONDS = 5.0
"""For the server's machine to answer at all."""
START_SECONDS = 30.0
"""For the server to begin the run; where it does not, the run goes on offline."""
FLUSH_SECONDS = 1.0
"""Between writes to the file in the run folder: what came after the last one is lost where everything is killed."""
UPLOAD_SECONDS = 60.0
"""For what is left to send at the end."""


@dataclass(frozen=True)
class WandbRun:
    """What W&B is told of a run when it begins."""

    id: str
    name: str
    project: str
    entity: str | None
    tags: list[str]
    notes: str | None
    config: Mapping[str, Any]
    folder: Path
    """W&B makes its own folder `wandb` in it."""


class Session:
    """A run at W&B, or offline in its folder.

    Args:
        run: what W&B is told of it.
        key: None: it is offline.
        asked_for: whether the config asks for an offline run, so that nothing need be explained.
    """

    def __init__(self, run: WandbRun, key: str | None, asked_for: bool) -> None:
        self._about, self._key, self._asked_for = run, key, asked_for
        self._axes: set[str] = set()
        self._told = False
        self._opened: wandb.Run | None = None

    @property
    def _run(self) -> wandb.Run:
        if self._opened is None:
            raise RuntimeError("a run is opened before it is told anything")
        return self._opened

    def open(self) -> None:
        """Begins the run, or continues it; offline, where there is no key or the server does not answer."""
        reason = None if self._key is None else self._try_online()
        if self._key is not None and reason is None:
            logger.info("W&B: %s", self._run.url)
            return
        self._opened = self._begin("offline")
        sends = f"`wandb sync {self._run.sync_dir}` sends it"
        if reason is not None:
            logger.warning("W&B cannot be reached (%s): the run is recorded offline; %s", reason, sends)
        elif self._asked_for:
            logger.info("W&B: the run is recorded offline; %s", sends)
        else:
            no_key = f"{VARIABLE} is not set and there is no {DEFAULT_FILE.name}"
            logger.info("W&B: there is no key (%s): the run is recorded offline; %s", no_key, sends)

    def _try_online(self) -> str | None:
        """Begins the run at the server; otherwise says why that is not possible."""
        before = self._parts()
        try:
            self._opened = self._begin("online")
        except Exception as error:
            self.drop()  # its process would hold on to the run that was not begun
            for part in self._parts() - before:
                shutil.rmtree(part, ignore_errors=True)
            return self._without_key(str(error) or type(error).__name__)
        return None

    def _begin(self, mode: Literal["online", "offline"]) -> wandb.Run:
        import wandb

        about = self._about
        settings = wandb.Settings(
            mode=mode,
            init_timeout=START_SECONDS,
            finish_timeout=UPLOAD_SECONDS,
            finish_timeout_raises=True,
            x_transaction_log_flush_interval=FLUSH_SECONDS,
            silent=True,
            console="off",  # the program's own output goes where it always goes
            # What the run folder says already, and says without names and addresses.
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_viewer=True,
            use_dot_wandb=False,
            symlink=False,
        )
        server = wandb.setup(settings).settings.base_url
        wandb.termsetup(settings, self)
        if mode == "online":
            _knock(server)
            settings.api_key = self._key  # not before: with a key, `setup` does not ask for the server's address
        return wandb.init(
            id=about.id,
            resume="allow",
            # Another run of the same process, one that hangs, must not be taken for this one.
            reinit="create_new",
            name=about.name,
            project=about.project,
            entity=about.entity,
            tags=about.tags,
            notes=about.notes,
            config=dict(about.config),
            dir=str(about.folder),
            settings=settings,
        )

    def log(self, metrics: Mapping[str, float], axis: str, row: int) -> None:
        """Logs numbers, one of which is their `axis`; W&B passes over a `row` before those that it has."""
        for name in metrics:
            if name not in self._axes:
                self._axes.add(name)
                self._run.define_metric(name, step_metric=None if name == axis else axis, hidden=name == axis)
        self._run.log(dict(metrics), step=row, commit=True)

    def summarise(self, metrics: Mapping[str, float]) -> None:
        """Shows numbers of the run as a whole."""
        self._run.summary.update(dict(metrics))

    def show(self, figures: Mapping[str, Path], at: Mapping[str, float], row: int) -> None:
        """Shows pictures by name, at a place of an axis."""
        import wandb

        pictures = {name: wandb.Image(str(path)) for name, path in figures.items()}
        self._run.log(pictures | dict(at), step=row, commit=True)

    def keep(self, files: Iterable[Path]) -> None:
        """Keeps files of the run folder as one artifact."""
        import wandb

        artifact = wandb.Artifact(f"run-{self._about.id}", type="run")
        for file in files:
            # Not copied: nothing changes them any more.
            artifact.add_file(str(file), name=str(file.relative_to(self._about.folder)), policy="immutable")
        self._run.log_artifact(artifact)

    def close(self, finished: bool) -> None:
        """Ends the run."""
        try:
            self._run.finish(exit_code=0 if finished else 1)
        except TimeoutError:
            self.error(f"not everything was sent within {UPLOAD_SECONDS:.0f} s")

    def drop(self) -> None:
        """Ends W&B's own process, whatever it is doing."""
        with suppress(BaseException):  # where it has died, this raises anything, SystemExit included
            import wandb

            wandb.teardown()

    # ------------------------------------------------------------------------- what W&B says while a run lasts

    def be_silent(self) -> None:
        """Tells no more of what W&B says: its process is going to be killed."""
        self._told = True

    def info(self, text: str) -> None:
        """Takes what W&B says, in place of the terminal."""
        logger.debug("%s", self._without_key(text))

    def warning(self, text: str) -> None:
        """Takes a warning of W&B; one of lost data is told."""
        if "error" in text.lower():
            self.error(text)
        else:
            self.info(text)

    def error(self, text: str) -> None:
        """Tells that something does not reach the server, the first time."""
        if self._told or self._opened is None:
            self.info(text)
            return
        self._told = True
        said, where = _plain(self._without_key(text)), self._opened.sync_dir
        logger.warning("W&B: %s; what was not sent is in %s, and `wandb sync` sends it", said, where)

    def _parts(self) -> set[Path]:
        """The folders of the run's parts."""
        return set((self._about.folder / "wandb").glob(f"*run-*-{self._about.id}*"))

    def _without_key(self, text: str) -> str:
        line = " ".join(text.split())
        return line.replace(self._key, "***") if self._key else line


def _knock(url: str) -> None:
    """Raises OSError where the machine of a URL does not answer: W&B would try for long to reach it."""
    place = urlsplit(url)
    if place.hostname and not getproxies():  # where there is a proxy, only W&B knows the way
        socket.create_connection((place.hostname, place.port or 443), KNOCK_SECONDS).close()


def _plain(text: str) -> str:
    """The text without colours, without W&B's name in front, and without its full stop."""
    return re.sub(r"\x1b\[[\d;]*m|wandb: |(WARNING|ERROR) ", "", text).rstrip(".")
