"""A Slurm job that is queued again; scontrol is a script that notes what it is called with."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.errors import InputError
from runs.requeueing import check_requeueing, requeue_after


def config(resume: Any = "auto", auto_requeue: bool = True) -> Any:
    return SimpleNamespace(resume=resume, auto_requeue=auto_requeue)


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script's notes; what follows the first line of `says` is its answer."""
    script, notes = tmp_path / "bin" / "scontrol", tmp_path / "notes"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$@" >> "{notes}"\n[ ! -e "{tmp_path}/says" ] || {{ cat "{tmp_path}/says" >&2; exit 1; }}\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    return notes


def test_only_the_warning_of_the_time_limit_queues_the_job_again(
    scontrol: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert check_requeueing(config())
    for status in (0, 1, 2, 130, 143):
        requeue_after(status)
    assert not scontrol.exists()
    requeue_after(138)
    assert scontrol.read_text() == "requeue 4711\n"
    assert caplog.messages == ["auto_requeue: job 4711 is queued again"]


def test_where_slurm_refuses_its_reason_is_told(scontrol: Path, caplog: pytest.LogCaptureFixture) -> None:
    (scontrol.parent / "says").write_text("Requested operation is presently disabled\n")
    requeue_after(138)
    assert caplog.messages == [
        "auto_requeue: scontrol requeue 4711: Requested operation is presently disabled; queue the job again by hand"
    ]


def test_outside_of_slurm_one_line_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert not check_requeueing(config(auto_requeue=False))
    assert not caplog.messages
    assert not check_requeueing(config())
    assert caplog.messages == [
        "auto_requeue: this is no Slurm job (SLURM_JOB_ID is not set): nothing will be queued again"
    ]


def test_what_could_not_work_is_refused_before_anything_runs(scontrol: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for resume in (True, False):
        with pytest.raises(InputError, match="auto_requeue=true needs resume=auto"):
            check_requeueing(config(resume=resume))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="no scontrol on the PATH"):
        check_requeueing(config())
