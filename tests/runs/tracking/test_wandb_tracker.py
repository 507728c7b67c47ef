"""W&B's real client, with a server of its kind on this machine, without one, and with one that goes away."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from config.schema import Config
from runs.folder import RunFolder
from runs.tracking import wandb_key, wandb_session, wandb_tracker
from runs.tracking.background import Background
from runs.tracking.tracking import Tracking
from runs.tracking.wandb_session import Session
from runs.tracking.wandb_tracker import WandbTracker
from tests.runs.tracking.wandb_server import WandbServer

MakeConfig = Callable[..., Config]
KEY = "0123456789abcdef0123456789abcdef01234567"
SUMMARY: dict[str, Any] = {"steps": 2, "best_step": 2, "knn": {"clip": {"program": {"top1": 75.0}}}}
OPTIONS = "wandb={project: mine, name: a name, entity: us, tags: [one, two], notes: why}"


@pytest.fixture(autouse=True)
def left_by_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No key, no server and no home folder but those of the test; what the client changes in Python is put back."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "absent"))
    monkeypatch.setattr(wandb_key, "DEFAULT_FILE", tmp_path / "wandb.key")
    monkeypatch.setattr(sys, "exit", sys.exit)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield
    assert not helpers()
    assert not (tmp_path / "absent").exists()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.open(tmp_path / "outputs", "run", resume=False)
    folder.config.write_text("a: 1\n")
    folder.report.write_text("<html>")
    (folder.figures / "loss.png").write_bytes(PNG)
    return folder


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def helpers() -> list[psutil.Process]:
    """The client's own processes that are alive."""
    found = [process for process in psutil.Process().children() if process.name() == "wandb-core"]
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a user would be warned of; the client's own log goes into a file."""
    return [record.getMessage() for record in caplog.records if record.levelno > logging.INFO and record.name[0] != "w"]


def step(number: int, **more: Any) -> dict[str, Any]:
    return {"kind": "step", "step": number, "loss": {"space": {"up": number / 8}}} | more


def rows(server: WandbServer) -> list[dict[str, Any]]:
    """The rows that were logged, without what the client adds."""
    return [{name: value for name, value in row.items() if name[0] != "_"} for row in server.history()]


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_run_is_at_the_server_with_all_that_belongs_to_it(
    tiny_config: MakeConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with Tracking(tiny_config("tracking=[wandb]", OPTIONS), run) as tracking:
            tracking.record(step(1))
            tracking.record(step(2))
            tracking.results(SUMMARY, lambda: pytest.fail("W&B has no projector"))
        assert server.keys == {"Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()}
        begun = server.run()
        assert (begun["project"], begun["displayName"], begun["entity"]) == ("mine", "a name", "us")
        assert (begun["tags"], begun["notes"]) == (["one", "two"], "why")
        assert '"batch_size":{"value":8}' in begun["config"]
        assert rows(server)[:2] == [{"step": 1, "loss/space/up": 0.125}, {"step": 2, "loss/space/up": 0.25}]
        assert rows(server)[2]["figures/loss"]["_type"] == "image-file"
        assert {"artifact/config.yaml", "artifact/report.html", "artifact/figures/loss.png"} <= server.uploads.keys()
        assert b'"test/knn/clip/program":75' in server.uploads["wandb-summary.json"].replace(b" ", b"")
        assert b"step" in server.uploads["config.yaml"]
        exits = [content["exitcode"] for name, content in server.requests if "exitcode" in (content or {})]
        assert exits == [0]
    assert warnings(caplog) == []
    assert begun["name"] == (run.wandb / "id.txt").read_text().strip()
    assert KEY.encode() not in everything_in(run.root)


def test_a_stage_of_a_curriculum_has_axes_of_its_own(
    tiny_config: MakeConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with Tracking(tiny_config("tracking=[wandb]"), run) as tracking:
            for number, stage in ((10, 1), (20, 1), (30, 2)):
                tracking.record(step(number, stage=stage))
    assert rows(server)[:2] == [
        {"step": 10, "stage": 1, "loss/space/up": 1.25},
        {"stage_1/step": 10, "stage_1/stage": 1, "stage_1/loss/space/up": 1.25},
    ]
    assert rows(server)[4:] == [
        {"step": 30, "stage": 2, "loss/space/up": 3.75},
        {"stage_2/step": 10, "stage_2/stage": 2, "stage_2/loss/space/up": 3.75},
    ]
    assert axes(server)["loss/space/up"] == "step"
    assert axes(server)["stage_2/loss/space/up"] == "stage_2/step"


def axes(server: WandbServer) -> dict[str, str]:
    """By metric: the metric that its charts have as their axis."""
    told = json.loads(server.sent("UpsertBucket")[-1]["config"])["_wandb"]["value"]["m"]
    # The client numbers its keys: 1 is a name; 5 the number of its axis among them, from 1; 4 the axis itself.
    names = [metric["1"] for metric in told]
    return {metric["1"]: metric.get("4") or names[metric["5"] - 1] for metric in told if "4" in metric or "5" in metric}


def test_without_a_key_it_is_recorded_in_its_folder_and_sent_later(
    tiny_config: MakeConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with Tracking(tiny_config("tracking=[wandb]", OPTIONS), run) as tracking:
        tracking.record(step(1))
        tracking.results(SUMMARY, lambda: pytest.fail("W&B has no projector"))
    (part,) = run.wandb.glob("offline-run-*")
    (told,) = [record for record in caplog.records if record.name.startswith("runs.")]
    assert told.levelname == "INFO"
    assert told.getMessage() == (
        "W&B: there is no key (WANDB_API_KEY is not set and there is no wandb.key): the run is recorded offline; "
        f"`wandb sync {part}` sends it"
    )
    with WandbServer() as server:
        environment = os.environ | {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}
        sync = [sys.executable, "-m", "wandb", "sync", str(part)]
        subprocess.run(sync, env=environment, check=True, capture_output=True, timeout=300)
    assert rows(server)[0] == {"step": 1, "loss/space/up": 0.125}
    assert server.run()["displayName"] == "a name"
    assert {"artifact/config.yaml", "artifact/report.html", "artifact/figures/loss.png"} <= server.uploads.keys()


@pytest.mark.parametrize(
    ("status", "says"), [(0, "Connection refused"), (None, "deadline exceeded"), (401, "401")], ids=str
)
def test_a_server_that_does_not_take_the_run_is_one_warning_and_the_run_goes_on_offline(
    tiny_config: MakeConfig,
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int | None,
    says: str,
) -> None:
    monkeypatch.setattr(wandb_session, "START_SECONDS", 1.0)
    (run.root / "my.key").write_text(KEY)
    with WandbServer(status) as server:
        if status == 0:
            server.stop()
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with Tracking(tiny_config("tracking=[wandb]", f"wandb.key_file={run.root / 'my.key'}"), run) as tracking:
            tracking.record(step(1))
    (run.root / "my.key").unlink()
    (part,) = run.wandb.glob("*run-*")  # nothing is left of the attempt
    (told,) = warnings(caplog)
    assert told.startswith("W&B cannot be reached (")
    assert told.endswith(f"): the run is recorded offline; `wandb sync {part}` sends it")
    assert says in told
    assert KEY.encode() not in everything_in(run.root)


def test_a_connection_that_is_lost_is_one_warning(
    tiny_config: MakeConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb_session, "UPLOAD_SECONDS", 2.0)
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with Tracking(tiny_config("tracking=[wandb]"), run) as tracking:
            tracking.record(step(1))
            until_it_has_begun(tracking)
            server.stop()
            for number in range(2, 100):
                tracking.record(step(number))
    (part,) = run.wandb.glob("run-*")
    (told,) = warnings(caplog)
    assert told.startswith("W&B: ")
    assert told.endswith(f"; what was not sent is in {part}, and `wandb sync` sends it")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_helper_process_that_ends_or_hangs_is_one_warning(
    tiny_config: MakeConfig,
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    how: signal.Signals,
) -> None:
    monkeypatch.setattr(wandb_tracker, "END_SECONDS", 3.0)
    with Tracking(tiny_config("tracking=[wandb]"), run) as tracking:
        tracking.record(step(1))
        until_it_has_begun(tracking)
        (helper,) = helpers()
        helper.send_signal(how)
        for number in range(2, 100):
            tracking.record(step(number))
    (told,) = warnings(caplog)
    assert told.startswith("W&B shows no more of this run (")
    assert told.endswith("); metrics.jsonl goes on")


def until_it_has_begun(tracking: Tracking) -> None:
    begun = threading.Event()
    tracker = tracking._trackers["wandb"]
    assert isinstance(tracker, WandbTracker)
    tracker._background.call(begun.set)
    assert begun.wait(300)


def test_a_resumed_run_keeps_its_id_and_says_nothing_twice(
    tiny_config: MakeConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    config = tiny_config("tracking=[wandb]")
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with Tracking(config, run) as tracking:
            tracking.continue_after([step(1)])  # asked for late: it gets what was logged before
            tracking.record(step(2))
            tracking.record(step(3))
        assert [row["step"] for row in rows(server)] == [1, 2, 3]
        server.rows_there = 1 + server.history()[-1]["_step"]
        server.requests.clear()
        with Tracking(config, run) as tracking:
            tracking.continue_after([step(1)])
            for number in (2, 3, 4, 5):
                tracking.record(step(number))
        assert [row["step"] for row in rows(server)] == [4, 5]
        assert server.run()["name"] == (run.wandb / "id.txt").read_text().strip()


def test_the_offline_parts_of_a_run_have_rows_of_their_own(tiny_config: MakeConfig, run: RunFolder) -> None:
    logged: list[list[tuple[int, int]]] = []
    records = [*(step(number, stage=1) for number in (0, 1, 2)), *(step(number, stage=2) for number in (2, 3))]
    for part in ([], records[:2], records[:4]):
        tracker = WandbTracker(tiny_config("wandb.mode=offline"), run)
        tracker._session = session = Rows()
        tracker._background = Background("it", lambda: None)
        for record in part:
            tracker._place(record)
        for record in records[len(part) :]:
            tracker.record(record)
        assert tracker._background.end(60)
        logged.append(session.rows)
    whole = logged[0]
    assert [row for row, _ in whole] == sorted({row for row, _ in whole})
    assert logged[1] == whole[4:]
    assert logged[2] == whole[8:]


class Rows(Session):
    """Remembers the rows that are logged, and their places on their axes."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] = []

    def log(self, metrics: Mapping[str, float], axis: str, row: int) -> None:
        self.rows.append((row, int(metrics[axis])))
