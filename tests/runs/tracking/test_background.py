import threading

import pytest

from runs.tracking import background
from runs.tracking.background import Background


def fail() -> None:
    raise OSError("no server")


def leave() -> None:
    raise SystemExit(3)


def test_calls_are_made_in_order_and_the_last_one_whatever_happens() -> None:
    made: list[int] = []
    calls = Background("it", lambda: made.append(-1))
    for number in range(5):
        calls.call(lambda number=number: made.append(number))  # type: ignore[misc]
    assert calls.end(60)
    assert made == [0, 1, 2, 3, 4, -1]


@pytest.mark.parametrize(("job", "kind", "says"), [(fail, OSError, "no server"), (leave, RuntimeError, "it ended: 3")])
def test_an_error_is_raised_where_the_next_call_is_made(job: background.Job, kind: type[Exception], says: str) -> None:
    ended = threading.Event()
    calls = Background("it", ended.set)
    calls.call(job)
    assert ended.wait(60)
    with pytest.raises(kind, match=says):
        calls.call(lambda: None)
    with pytest.raises(kind, match=says):
        calls.end(60)


def test_a_call_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_MOST_WAITING", 2)
    go = threading.Event()
    calls = Background("it", lambda: None)
    calls.call(go.wait)
    assert not calls.end(0.01)
    calls.call(lambda: None)
    with pytest.raises(TimeoutError, match="it does not answer"):
        calls.call(lambda: None)
    assert not calls.end(60)
    go.set()
