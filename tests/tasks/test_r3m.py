"""R-R3M: contrasts of time and of reward, on joint transformers and on a ResNet-50."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from architecture.frame_encoder import FrameEncoder, FrameResNet
from config.errors import InputError
from tasks.contrast import contrast, of_others
from tasks.r3m import R3MTask, distance
from tests.tasks.language_cases import MakeConfig, make_batch, make_task, overrides, step


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captions")


def made(make: MakeConfig, cache: Path, *more: str) -> R3MTask:
    task = make_task(make, "r3m", cache, *more)
    assert isinstance(task, R3MTask)
    return task


def test_everything_is_trained(tiny_config: MakeConfig, cache: Path) -> None:
    task = made(tiny_config, cache)
    terms = task.losses(make_batch(5), step())["r3m"]
    assert set(terms) == {"time", "reward", "l1", "l2"}
    torch.stack(list(terms.values())).sum().backward()
    assert [name for name, weight in task.named_parameters() if weight.grad is None] == []
    assert {id(p) for p in task.parameter_groups()["r3m"].all()} == {id(p) for p in task.parameters()}


def test_terms_and_accuracies_are_those_of_a_naive_computation(tiny_config: MakeConfig, cache: Path) -> None:
    task = made(tiny_config, cache, "r3m.time_weight=2", "r3m.reward_weight=3", "r3m.l1=0.1", "r3m.l2=0.2").eval()
    batch, context = make_batch(5), step()
    terms = task.losses(batch, context)["r3m"]
    with torch.no_grad():
        features = task.network.frames(batch.videos[0])
        captions = task.captions.of_rows(batch.rows_B)
        means = [captions.states_BLT[b, captions.shown_BL[b]].mean(dim=0) for b in range(4)]
        others = of_others(4, 3, step().generator)
        time, reward, right = [], [], {"time": [], "reward": []}
        for b in range(4):
            first, i, j, k, last = features[b]
            for anchor, far, place in ((i, k, 3), (k, i, 1)):
                negatives = [far, *(features[int(o[b]), place] for o in others)]
                near = math.exp(-math.dist(anchor, j))
                away = [math.exp(-math.dist(anchor, negative)) for negative in negatives]
                time.append(-math.log(near / (near + sum(away))))
                right["time"].append(near > away[0])
            for later, earlier, place in ((last, first, 4), (j, i, 2), (k, j, 3)):
                earned = math.exp(float(task.reward(first, later, means[b])))
                less = [math.exp(float(task.reward(first, earlier, means[b])))]
                for o in others[:, b].tolist():
                    less.append(math.exp(float(task.reward(features[o, 0], features[o, place], means[b]))))
                reward.append(-math.log(earned / (earned + sum(less))))
                right["reward"].append(earned > less[0])
    assert float(terms["time"]) == pytest.approx(2 * sum(time) / 8, rel=1e-4)
    assert float(terms["reward"]) == pytest.approx(3 * sum(reward) / 12, rel=1e-4)
    assert float(terms["l1"]) == pytest.approx(0.1 * float(features.abs().sum(dim=-1).mean()), rel=1e-4)
    assert float(terms["l2"]) == pytest.approx(0.2 * float(features.norm(dim=-1).mean()), rel=1e-4)
    assert float(context.measures["time_accuracy"]) == pytest.approx(sum(right["time"]) / 8)
    assert float(context.measures["reward_accuracy"]) == pytest.approx(sum(right["reward"]) / 12)


def test_time_is_learned(tiny_config: MakeConfig, cache: Path) -> None:
    task = made(tiny_config, cache, "r3m.reward_weight=0")
    optimizer = torch.optim.Adam(task.parameters(), lr=2e-3)
    batch = make_batch(5)
    batch.videos[0][:] = batch.videos[0][:, :1] + torch.linspace(-2, 2, 5)[:, None, None, None]  # ever brighter
    accuracy = 0.0
    for number in range(60):
        context = step(number)
        loss = torch.stack(list(task.losses(batch, context)["r3m"].values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracy = float(context.measures["time_accuracy"])
    assert accuracy == 1


def test_a_batch_of_one_has_no_other_videos(tiny_config: MakeConfig, cache: Path) -> None:
    terms = made(tiny_config, cache).losses(make_batch(5, rows=(3,)), step())["r3m"]
    assert all(bool(term.isfinite()) for term in terms.values())


def test_others_are_never_a_sample_itself_and_differ() -> None:
    for seed in range(20):
        others = of_others(5, 3, torch.Generator().manual_seed(seed))
        assert others.shape == (3, 5)
        for sample in range(5):
            drawn = others[:, sample].tolist()
            assert len({*drawn, sample}) == 4
    assert of_others(3, 9, torch.Generator()).shape == (2, 3)
    assert of_others(1, 3, torch.Generator()).shape == (0, 1)


def test_the_gradient_of_a_distance_is_finite_at_zero() -> None:
    one = torch.ones(2, 3, requires_grad=True)
    distance(one, torch.ones(2, 3)).sum().backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()


def test_a_contrast_is_won_against_the_first_negative() -> None:
    high, low = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0])
    found = contrast([(high, [low, torch.tensor([5.0, 5.0])])])
    assert float(found.accuracy) == 0.5
    expected = [math.log(1 + math.exp(-1) + math.exp(3)), math.log(1 + math.exp(1) + math.exp(5))]
    assert float(found.loss) == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_frames_are_embedded_one_by_one(tiny_config: MakeConfig, cache: Path) -> None:
    network = made(tiny_config, cache).network.eval()
    video = make_batch(5).videos[0]
    with torch.no_grad():
        frames = network.frames(video)
        changed = video.clone()
        changed[:, 2] += 1
        others = network.frames(changed)
        features, tokens = network.features_and_tokens(video)
    kept = [0, 1, 3, 4]
    assert torch.equal(others[:, kept], frames[:, kept])
    assert not torch.isclose(others[:, 2], frames[:, 2]).any(dim=-1).all()
    torch.testing.assert_close(features["clip"][:, 0], frames.mean(dim=1))
    assert tokens["clip"].shape == (4, 1, 5 * 6, 16)
    torch.testing.assert_close(tokens["clip"][:, 0, :6].mean(dim=1), frames[:, 0])


def test_a_resnet_50_in_place_of_the_transformer(tiny_config: MakeConfig, cache: Path) -> None:
    task = made(tiny_config, cache, "encoder=resnet50")
    assert isinstance(task.network, FrameEncoder)
    assert isinstance(task.network.network, FrameResNet)
    batch = make_batch(5)
    terms = task.losses(batch, step())["r3m"]
    torch.stack(list(terms.values())).sum().backward()
    assert [name for name, weight in task.named_parameters() if weight.grad is None] == []
    features, tokens = task.network.features_and_tokens(batch.videos[0])
    assert features["clip"].shape == (4, 1, 2048)
    assert tokens["clip"].shape == (4, 1, 5, 2048)  # a place of each of five small frames


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("window.length=2", "r3m compares 5 frames of a video, not 2; window.length=5 would fit"),
        ("joint.tubelet=2", "window.length and joint.tubelet disagree"),
        ("encoder=r2plus1d_18", "not by r2plus1d_18; encoder=resnet50 would fit, or encoder=joint joint.tubelet=1"),
    ],
)
def test_values_that_do_not_fit_are_refused(tiny_config: MakeConfig, cache: Path, override: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        tiny_config(*overrides("r3m", cache, override))
    assert message in str(error.value)
