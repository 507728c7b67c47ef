from pathlib import Path

import numpy as np
import pytest
import torch

from config.errors import InputError
from runs.metrics import MetricLog
from tests.full_disk import files_limited_to


def test_records_are_lines_that_are_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricLog(path) as log:
        log.write("step", step=1, loss={"space": {"down": np.float32(1 / 3), "up": float("nan")}})
        assert path.read_text() == ('{"kind": "step", "step": 1, "loss": {"space": {"down": 0.333333, "up": null}}}\n')
        log.write("validation", step=1, rank={"space": torch.tensor(2.5)}, alarms=[])
        assert MetricLog.read(path)[1] == {"kind": "validation", "step": 1, "rank": {"space": 2.5}, "alarms": []}


@pytest.mark.parametrize("tail", ['{"kind": "st', '{"kind": "step", "step": 3', "\0\0\0\0", "7"])
def test_a_torn_last_line_is_left_out_and_mended_when_the_file_is_opened_again(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = '{"kind": "step", "step": 1}\n{"kind": "step", "step": 2}\n'
    path.write_text(whole + tail)
    assert [record["step"] for record in MetricLog.read(path)] == [1, 2]
    with MetricLog(path) as log:
        assert path.read_text() == whole
        log.write("step", step=3)
    assert [record["step"] for record in MetricLog.read(path)] == [1, 2, 3]


def test_a_whole_last_line_without_its_line_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}')
    with MetricLog(path) as log:
        log.write("step", step=3)
    assert [record["step"] for record in MetricLog.read(path)] == [1, 2, 3]


def test_damage_before_the_last_line_is_told_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    text = '{"step": 1}\n{"ste\n{"step": 3}\n'
    path.write_text(text)
    with pytest.raises(InputError, match="line 2 is damaged"):
        MetricLog(path)
    assert path.read_text() == text


def test_a_resumed_run_holds_each_step_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricLog(path) as log:
        log.write("start", command="python main.py")
        for step in (10, 20, 30):
            log.write("step", step=step)
        log.write("validation", step=10, epoch=1)
        log.write("validation", step=20, epoch=2)
    with MetricLog(path) as log:
        log.drop_after(20, epoch=2)
        log.write("step", step=30)
    assert [(record["kind"], record.get("step")) for record in MetricLog.read(path)] == [
        ("start", None),
        ("step", 10),
        ("step", 20),
        ("validation", 10),
        ("validation", 20),
        ("step", 30),
    ]
    with MetricLog(path) as log:
        log.drop_after(20, epoch=1)  # the validation after step 20 had not ended when the checkpoint was saved
    assert [(record["kind"], record.get("step")) for record in MetricLog.read(path)][-2:] == [
        ("step", 20),
        ("validation", 10),
    ]


def test_a_full_disk_costs_no_line_and_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricLog(path) as log:
        log.write("step", step=1)
        with files_limited_to(path.stat().st_size + 10):  # the next line would fit by a part
            log.write("step", step=2)
            log.write("step", step=3)
            assert [record["step"] for record in log.records()] == [1, 2, 3]
            assert path.read_text() == '{"kind": "step", "step": 1}\n'
        (told,) = caplog.messages
        assert "File too large; its lines are kept in memory until that is possible: free the disk" in told
        log.write("step", step=4)
    assert [record["step"] for record in MetricLog.read(path)] == [1, 2, 3, 4]


def test_lines_that_cannot_be_written_to_the_end_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "metrics.jsonl"
    with files_limited_to(10), MetricLog(path) as log:
        log.write("step", step=1)
        log.write("step", step=2)
    assert "2 lines are lost" in caplog.messages[-1]
    assert MetricLog.read(path) == []


def test_a_file_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No such file"):
        MetricLog(tmp_path / "absent" / "metrics.jsonl")
    with pytest.raises(InputError, match=r"cannot read .*No such file"):
        MetricLog.read(tmp_path / "metrics.jsonl")


def test_what_json_cannot_hold_is_a_bug_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricLog(path) as log, pytest.raises(TypeError):
        log.write("step", step=object())
    assert path.read_text() == ""
