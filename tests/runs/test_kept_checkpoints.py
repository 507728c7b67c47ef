"""The checkpoints beside last.pt."""

from __future__ import annotations

from pathlib import Path

from runs.kept_checkpoints import keep, numbered_steps


def test_what_is_kept_already_is_kept_once(tmp_path: Path) -> None:
    last = tmp_path / "last.pt"
    last.write_bytes(b"three steps")
    keep(last, 3)
    keep(last, 3)  # a run that was killed before it replaced last.pt does it again
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "last_3.pt"}
    last.unlink()
    assert (tmp_path / "last_3.pt").read_bytes() == b"three steps"
    assert numbered_steps(last) == [3]
