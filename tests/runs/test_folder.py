import os
from pathlib import Path

import pytest

from config.errors import InputError
from runs.folder import RunFolder


def files_of(run: RunFolder) -> set[str]:
    return {str(path.relative_to(run.root)) for path in run.root.rglob("*")}


def test_a_new_run_gets_an_empty_folder_with_the_layout_of_the_design(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path / "outputs", "first", resume=False)
    assert run.root == tmp_path / "outputs" / "first"
    assert files_of(run) == {"checkpoints", "figures"}
    named = [run.config, run.environment, run.metrics, run.summary, run.last, run.best, run.report, run.bad_videos]
    assert [str(path.relative_to(run.root)) for path in named] == [
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "summary.json",
        "checkpoints/last.pt",
        "checkpoints/best.pt",
        "report.html",
        "bad_videos.csv",
    ]


def test_a_name_that_exists_is_refused_and_says_how_to_resume_or_rename(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, "first", resume=False)
    run.last.write_bytes(b"checkpoint")
    with pytest.raises(InputError) as error:
        RunFolder.open(tmp_path, "first", resume=False)
    assert str(error.value) == (
        f"run {run.root} exists; continue it with resume=true or choose another name with model_name=..."
    )
    assert run.last.read_bytes() == b"checkpoint"
    assert RunFolder.open(tmp_path, "first", resume=True) == run
    assert run.last.read_bytes() == b"checkpoint"


def test_a_folder_without_checkpoint_is_refused_too_and_its_bad_videos_are_told(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, "first", resume=False)
    run.bad_videos.write_text("path,reason\na.mp4,truncated\nb.mp4,truncated\n")
    with pytest.raises(InputError) as error:
        RunFolder.open(tmp_path, "first", resume=False)
    assert str(error.value) == (
        f"run folder {run.root} exists without a checkpoint to resume from, and its bad_videos.csv lists 2 unreadable "
        "videos; remove it or choose another name with model_name=..."
    )


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_a_name_taken_by_something_else_is_refused(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        (tmp_path / "first").write_text("mine")
    else:
        (tmp_path / "first").symlink_to(tmp_path / "absent")
    with pytest.raises(InputError, match=r"model_name=\.\.\."):
        RunFolder.open(tmp_path, "first", resume=False)


def test_resume_needs_a_folder_and_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no run folder .*first; start the run with resume=false"):
        RunFolder.open(tmp_path, "first", resume=True)
    assert list(tmp_path.iterdir()) == []
    RunFolder.open(tmp_path, "first", resume=False)
    with pytest.raises(InputError, match=r"last\.pt does not exist"):
        RunFolder.open(tmp_path, "first", resume=True)


@pytest.mark.parametrize("name", ["", "  ", ".", "..", "a/b", "../a", "a\\b", "a\nb", "a\0b"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a folder") as error:
        RunFolder.open(tmp_path, name, resume=False)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="File name too long"):
        RunFolder.open(tmp_path, "a" * 300, resume=False)


def test_a_save_path_through_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .*Not a directory; choose another folder with save_path="):
        RunFolder.open(tmp_path / "file" / "outputs", "first", resume=False)


def test_a_folder_without_permission_is_one_clear_line(tmp_path: Path, bound_by_rights: None) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        RunFolder.open(tmp_path, "first", resume=False)


def test_a_disk_without_room_is_found_by_a_real_write_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    with pytest.raises(InputError, match="No space left on device"):
        RunFolder.open(tmp_path, "first", resume=False)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_failed_before_its_first_step_frees_its_name(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, "first", resume=False)
    run.config.write_text("task: hierarchical\n")
    run.environment.write_text("{}")
    run.metrics.touch()
    run.bad_videos.write_text("path,reason\n")
    assert run.discard_if_unused()
    assert not run.root.exists()
    assert not run.discard_if_unused()
    assert RunFolder.open(tmp_path, "first", resume=False) == run


@pytest.mark.parametrize("name", ["checkpoints/last.pt", "metrics.jsonl", "figures/pca.png", "notes.txt", "own/empty"])
def test_a_folder_that_holds_anything_of_worth_is_kept_whole(tmp_path: Path, name: str) -> None:
    run = RunFolder.open(tmp_path, "first", resume=False)
    run.config.write_text("task: hierarchical\n")
    (run.root / name).parent.mkdir(exist_ok=True)
    (run.root / name).write_text("x")
    before = files_of(run)
    assert not run.discard_if_unused()
    assert files_of(run) == before


def test_a_list_of_bad_videos_is_kept(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, "first", resume=False)
    run.bad_videos.write_text("path,reason\na.mp4,truncated\n")
    assert not run.discard_if_unused()
    assert run.bad_videos.exists()


def test_the_home_folder_is_no_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert RunFolder.open("~/runs", "one", resume=False).root == tmp_path / "runs" / "one"
    assert not (tmp_path / "~").exists()


def test_a_checkpoint_that_is_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, "first", resume=False)
    os.mkfifo(run.last)
    with pytest.raises(InputError, match=r"last\.pt is not a regular file"):
        RunFolder.open(tmp_path, "first", resume=True)


def test_resume_auto_begins_and_goes_on(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, "run", resume="auto")
    assert not run.has_checkpoint()
    run.last.write_bytes(b"checkpoint")
    assert RunFolder.open(tmp_path, "run", resume="auto").has_checkpoint()
    run.last.rename(run.checkpoints / "last_3.pt")  # what a kill may leave
    for resume in (True, "auto"):
        assert RunFolder.open(tmp_path, "run", resume=resume).has_checkpoint()


def test_resume_auto_begins_anew_where_a_start_was_killed_before_its_first_checkpoint(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, "run", resume="auto")
    RunFolder.open(tmp_path, "run", resume="auto")  # nothing is in it yet
    run.config.write_text("task: hierarchical")
    run.metrics.write_text('{"kind": "validation", "step": 0}\n')
    again = RunFolder.open(tmp_path, "run", resume="auto")
    again.forget_what_had_begun()
    assert files_of(run) == {"checkpoints", "figures", "config.yaml"}


@pytest.mark.parametrize("kept", ["summary.json", "checkpoints/best.pt", "metrics.jsonl", "notes.txt"])
def test_resume_auto_takes_no_folder_that_holds_more(tmp_path: Path, kept: str) -> None:
    run = RunFolder.open(tmp_path, "run", resume="auto")
    if kept != "notes.txt":
        run.config.write_text("task: hierarchical")
    (run.root / kept).write_text('{"kind": "step", "step": 1}\n')
    with pytest.raises(InputError, match="exists without a checkpoint to resume from"):
        RunFolder.open(tmp_path, "run", resume="auto")
