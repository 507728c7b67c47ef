"""How processes find each other, and what they refuse."""

from __future__ import annotations

import socket

import pytest
import torch

from config.errors import InputError
from parallel.agreement import check_agreement, flat
from parallel.batch_share import BatchShare, batch_windows, current_share, equal_parts, own_windows, sharing
from parallel.group import ALONE, Group, join
from tests.parallel.two_processes import environment


class Two(Group):
    """Two processes, of which the other one gives a fixed answer."""

    size = 2

    def __init__(self, other: object) -> None:
        self._other = other

    def gather(self, value: object) -> list[object]:
        return [value, self._other]


@pytest.fixture
def started_by(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in environment(0, 2, 1).items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_process_alone_joins_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (None, "1"):
        if size:
            monkeypatch.setenv("WORLD_SIZE", size)
        assert join() is ALONE


def test_a_port_that_is_taken_is_told_in_one_line(started_by: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        started_by.setenv("MASTER_PORT", str(port))
        with pytest.raises(InputError, match=rf"port {port} of this machine is taken: set MASTER_PORT to another one"):
            join()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MASTER_ADDR", "", "MASTER_ADDR is not set: start them with torchrun, or unset WORLD_SIZE"),
        ("RANK", "", "RANK is not set"),
        ("RANK", "2", "RANK=2, WORLD_SIZE=2, .* name no process of several"),
        ("RANK", "one", "name no process of several"),
        ("MASTER_PORT", "70000", "name no process of several"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(
    started_by: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    started_by.setenv(name, value)
    with pytest.raises(InputError, match=message):
        join()


def test_others_that_do_not_come_are_told(started_by: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started_by.setenv("MASTER_PORT", str(port))
    started_by.setenv("HVT_START_SECONDS", "1")
    with pytest.raises(InputError, match=r"process 0 did not find all of the 2 processes at 127\.0\.0\.1"):
        join()


def test_what_differs_is_named() -> None:
    given = flat({"seed": 3, "window": {"length": 8, "sampling": "dense"}, "figures": [], "sizes": {}})
    assert given == {"seed": 3, "window.length": 8, "window.sampling": "dense", "figures": [], "sizes": {}}
    told = {name: repr(value) for name, value in given.items()}
    check_agreement(Two(("b", told)), given)
    with pytest.raises(InputError, match=r"window.length is 8 for process 0 \(.*\) and 16 for process 1 \(b\)"):
        check_agreement(Two(("b", told | {"window.length": "16"})), given)
    with pytest.raises(InputError, match=r"extra is not there for process 0 .* and 1 for process 1"):
        check_agreement(Two(("b", told | {"extra": "1"})), given)


@pytest.mark.parametrize("items", [0, 1, 5, 7, 8])
def test_parts_cover_everything_once_and_are_as_equal_as_they_can_be(items: int) -> None:
    parts = [range(items)[part] for part in equal_parts(items, 3)]
    assert [number for part in parts for number in part] == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_draws_of_the_whole_batch_are_cut_to_the_windows_here() -> None:
    drawn = torch.arange(7)
    assert batch_windows(3) == 3
    assert own_windows(drawn) is drawn
    found = []
    for rank in range(4):
        with sharing(BatchShare((3, 0, 2, 2), rank)):
            assert batch_windows(2) == 7
            found.append(own_windows(drawn).tolist())
            assert own_windows(drawn[:1]).tolist() == [0]
    assert found == [[0, 1, 2], [0], [3, 4], [5, 6]]  # a stand-in takes any
    assert current_share() is None
