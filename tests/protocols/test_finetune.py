"""protocols/finetune.py: what is fine-tuned by default, what is refused, and its scores beside random init."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from config.errors import InputError
from config.schema import Config
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from eval import final_test
from protocols.evaluation import EvaluationData, Plan, plan_evaluations
from protocols.finetune import Finetune, FinetuneSettings
from protocols.predictions import MultiPredictions, Predictions
from protocols.protocol import Score, Subject
from runs.process.seeds import seed_everything
from runs.results import nested
from tasks import build_task
from tests.protocols.finetuning.conftest import make_subject, with_several

MakeConfig = Callable[..., Config]
QUICK = "settings: {epochs: 1, augment: none, choose: last, few_shot: 1}"
__all__ = ["make_subject"]  # a fixture


def plan_of(config: Config, catalogs: dict[str, Catalog], folder: Path) -> Plan:
    bad = BadVideos(folder / "bad_videos.csv", total=48, max_share=0.5, dataset="digits")
    return plan_evaluations(config, EvaluationData.of(catalogs, config, bad), folder / "bad_videos.csv")


def labels_of(plan: Plan) -> dict[str, list[str]]:
    found = plan.find("finetune")
    assert found is not None
    return dict(found.labels)


def test_it_is_of_the_last_level_on_its_own_labels(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    def labels(evaluation: str) -> dict[str, list[str]]:
        return labels_of(plan_of(tiny_config(f"evaluations.finetune={{{evaluation}}}"), tiny_catalogs, tmp_path))

    assert labels("protocol: finetune") == {"clip": ["program"]}
    assert labels("protocol: finetune, levels: [space, time]") == {"space": ["digit"], "time": ["motion"]}
    assert labels("protocol: finetune, labels: [digit, motion]") == {"clip": ["digit", "motion"]}
    all_of_them = labels("protocol: finetune, levels: [time], labels: all")
    assert {level: set(names) for level, names in all_of_them.items()} == {"time": {"digit", "motion", "program"}}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["settings: {freeze: [backbone]}"],
            "settings.freeze: there is no backbone; the encoder has space, time, clip",
        ),
        (["settings: {freeze: [stem]}"], "evaluations.finetune.settings.freeze"),
        (["settings: {few_shot: 0}"], "evaluations.finetune.settings.few_shot"),
        (["settings: {label_smoothing: 1.0}"], "evaluations.finetune.settings.label_smoothing"),
        (["settings: {layer_decay: 0.0}"], "evaluations.finetune.settings.layer_decay"),
        (["settings: {mixup: -1}"], "evaluations.finetune.settings.mixup"),
        (["settings: {choose: first}"], "evaluations.finetune.settings.choose"),
        (["settings: {epochs: 2.5}"], "evaluations.finetune.settings.epochs"),
        (["settings: {lr_decay: 0.5}"], "unknown key evaluations.finetune.settings.lr_decay"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tiny_config: MakeConfig, overrides: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        tiny_config(f"evaluations.finetune={{protocol: finetune, {', '.join(overrides)}}}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cnn_has_no_blocks_to_skip(tiny_config: MakeConfig) -> None:
    evaluation = "evaluations.finetune={protocol: finetune, settings: {drop_path: 0.1}}"
    with pytest.raises(InputError, match="drop_path and encoder disagree: s3d has no blocks"):
        tiny_config("task=supervised", "encoder=s3d", "window.length=8", evaluation)


def test_every_level_and_label_set_is_a_fine_tuning_of_its_own(
    make_subject: Callable[..., Subject], tiny_catalogs: dict[str, Catalog]
) -> None:
    kept: list[Predictions | MultiPredictions] = []
    labels = {"space": ["digit"], "clip": ["program", "motions"]}
    subject = replace(make_subject(catalogs=with_several(tiny_catalogs)), labels=labels, keep=kept.append)
    settings = FinetuneSettings(epochs=1, augment="none", choose="last")
    scores = Finetune(settings).score(subject)
    main = [(score.level, score.labels, score.metric) for score in scores if score.primary]
    assert main == [("space", "digit", "top1"), ("clip", "program", "top1"), ("clip", "motions", "mAP")]
    assert {score.metric for score in scores if score.labels == "program"} >= {
        "top1",
        "top5",
        "mean_class",
        "ece",
        "acc",
    }
    assert [(said.level, said.labels.name) for said in kept] == [(level, name) for level, name, _ in main]


def test_random_init_is_fine_tuned_in_the_same_way(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("knn", "linear_probe", "supervised")
    off = [f"evaluations.{name}=null" for name in names]
    config = tiny_config(*off, "choose_by=null", f"evaluations.finetune={{protocol: finetune, {QUICK}}}")
    trained, init = (_task(config, tiny_catalogs, seed) for seed in (1, 2))
    encoders: list[Any] = []
    score = Finetune.score

    def noted(self: Finetune, subject: Subject) -> list[Score]:
        encoders.append(subject.data.encoder)
        return score(self, subject)

    monkeypatch.setattr(Finetune, "score", noted)
    test = final_test(trained, init.encoder, plan_of(config, tiny_catalogs, tmp_path), torch.device("cpu"))
    assert encoders == [trained.encoder, init.encoder]
    (result,) = [result for result in test.results if result.primary]
    alone = nested(test.results)["finetune"]["clip"]["program"]
    assert result.random_init is not None
    assert (result.column, result.own, alone["random_init"]) == ("program", True, result.random_init)
    assert [(name, said.level) for name, said in test.predictions] == [("finetune", "clip")]


def _task(config: Config, catalogs: dict[str, Catalog], seed: int) -> Any:
    seed_everything(seed)
    return build_task(config, catalogs["train"])
