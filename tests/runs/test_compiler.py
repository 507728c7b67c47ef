from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from architecture.compiling import compile_blocks
from config.errors import InputError
from config.schema import Config
from runs.compiler import compile_task
from runs.precision import set_tf32
from tests.fake_training import FakeLoader, make_trainer, run

MakeConfig = Callable[..., Config]


def test_compiled_blocks_train_alike_and_keep_their_names(tiny_config: MakeConfig) -> None:
    trainers = [make_trainer(tiny_config()) for _ in range(2)]
    assert compile_blocks(trainers[1].task, backend="eager") == 3
    for trainer in trainers:
        run(trainer, FakeLoader([4, 4]), steps=2)
    plain, compiled = (trainer.task.state_dict() for trainer in trainers)
    assert plain.keys() == compiled.keys()
    torch.testing.assert_close(compiled, plain)


@pytest.mark.slow
def test_what_inductor_makes_of_them_trains_alike(tiny_config: MakeConfig) -> None:
    trainers = [make_trainer(tiny_config("optimizer={name: sgd, lr: 0.01, weight_decay: 0}")) for _ in range(2)]
    compile_task(trainers[1].task, torch.device("cpu"))
    for trainer in trainers:
        run(trainer, FakeLoader([4, 4]), steps=2)
    plain, compiled = (trainer.task.state_dict() for trainer in trainers)
    torch.testing.assert_close(compiled, plain, atol=1e-4, rtol=1e-3)


def test_without_a_compiler_one_line_says_so(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"there is no g\+\+ or clang\+\+ or c\+\+ on the PATH; install one, or set"):
        compile_task(make_trainer(tiny_config()).task, torch.device("cpu"))


def test_what_has_no_blocks_is_not_compiled() -> None:
    with pytest.raises(InputError, match="no transformer blocks"):
        compile_task(torch.nn.Linear(2, 2), torch.device("cuda"))


def test_tf32_is_what_the_key_says(tiny_config: MakeConfig) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        for option in ("tf32=true", "tf32=false"):
            set_tf32(tiny_config(option))
            assert matmul.allow_tf32 == cudnn.allow_tf32 == (option == "tf32=true")
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
