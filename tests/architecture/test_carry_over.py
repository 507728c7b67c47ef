"""Every tensor of two networks is accounted for by its name and shape."""

from __future__ import annotations

import pytest
import torch

from architecture.carry_over import (
    CarryOverError,
    Change,
    Networks,
    carried_moments,
    carried_tensors,
    plan_carry_over,
)
from architecture.layouts import Layout

ROWS = Networks({"net.table": Layout("row"), "copy.table": Layout("row")}, ((1, 1), (1, 1)), "net.", {"copy.": "net."})
OLD = {
    "net.weight": torch.arange(6.0).view(2, 3),
    "net.table": torch.arange(4.0).view(2, 2),
    "net.seen": torch.tensor(5),
    "head.weight": torch.ones(4, 2),
    "gone.weight": torch.ones(1),
}
NEW = {
    "net.weight": torch.zeros(2, 3),
    "net.table": torch.full((3, 2), -1.0),
    "net.seen": torch.tensor(0),
    "net.added": torch.full((2,), 7.0),
    "head.weight": torch.zeros(5, 2),
    "copy.weight": torch.zeros(2, 3),
    "copy.table": torch.full((3, 2), -2.0),
}


def test_every_tensor_of_both_networks_is_accounted_for_once() -> None:
    plan = plan_carry_over(OLD, NEW, ROWS)
    assert plan.carried == ["net.weight", "net.seen", "copy.weight"]
    assert plan.resampled == [
        Change("net.table", [2, 2], [3, 2], "row"),
        Change("copy.table", [2, 2], [3, 2], "row"),
    ]
    assert plan.new == ["net.added"]
    assert plan.reshaped == [Change("head.weight", [4, 2], [5, 2], "begins anew")]
    assert plan.left == ["gone.weight"]
    told = [*plan.carried, *(change.name for change in plan.resampled + plan.reshaped), *plan.new]
    assert sorted(told) == sorted(NEW)


def test_the_new_network_gets_all_its_tensors() -> None:
    tensors = carried_tensors(plan_carry_over(OLD, NEW, ROWS), OLD, NEW, ROWS)
    assert tensors.keys() == NEW.keys()
    assert torch.equal(tensors["net.weight"], OLD["net.weight"])
    assert torch.equal(tensors["copy.weight"], OLD["net.weight"])  # a copy that there was not begins as its original
    assert tensors["net.table"].tolist() == [[0, 1], [2, 3], [-1, -1]]
    assert int(tensors["net.seen"]) == 5
    assert torch.equal(tensors["net.added"], NEW["net.added"])
    assert torch.equal(tensors["head.weight"], NEW["head.weight"])


def test_optimizer_states_follow_their_parameters() -> None:
    plan = plan_carry_over(OLD, NEW, ROWS)
    moments = {name: torch.full_like(OLD[name], 3.0) for name in ("net.weight", "net.table", "head.weight")}
    states = {name: {"step": torch.tensor(9.0), "exp_avg": value} for name, value in moments.items()}
    parameters = {name: NEW[name] for name in ("net.weight", "net.table", "net.added", "head.weight")}
    carried = carried_moments(plan, states, parameters, ROWS)
    assert carried.keys() == {"net.weight", "net.table"}
    assert carried["net.table"]["exp_avg"].tolist() == [[3, 3], [3, 3], [0, 0]]
    assert float(carried["net.table"]["step"]) == 9
    assert torch.equal(carried["net.weight"]["exp_avg"], moments["net.weight"])
    assert (plan.optimizer_carried, plan.optimizer_new) == (["net.weight", "net.table"], ["net.added", "head.weight"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"net.weight": torch.zeros(3, 3)}, r"net.weight is \[3, 3\] and was \[2, 3\]"),
        ({"net.table": torch.zeros(3, 5)}, r"net.table is \[3, 5\] and was \[2, 2\]"),
        ({"net.seen": None}, "net.seen has no place any more"),
    ],
    ids=["width", "width of a table", "lost"],
)
def test_a_tensor_of_the_encoder_that_cannot_be_carried_over_is_an_error(
    changes: dict[str, torch.Tensor | None], words: str
) -> None:
    new = {name: tensor for name, tensor in {**NEW, **changes}.items() if tensor is not None}
    new = {name: tensor for name, tensor in new.items() if not name.startswith("copy.")}
    with pytest.raises(CarryOverError, match=words):
        plan_carry_over(OLD, new, ROWS)
