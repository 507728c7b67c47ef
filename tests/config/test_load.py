"""config/load.py: which value wins, where it came from, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import InputError
from config.files import CONFIG_FOLDER
from config.load import DEFAULT_FILES, load_config, render_config
from tasks.encoder_settings import HierarchySettings

# What the tests rely on, so that tuning the defaults breaks none of them.
PINNED = """\
groups: [space, time, clip]
hierarchy: {patch_size: 8, frames_per_clip: 4}
frame_size: [32, 32]
window: {length: 8}
dataset: {name: moving_digits, root: x, videos: {train: 5, val: 5, test: 5}, seed: 0}
optimizer: {name: adamw, lr: 0.25, weight_decay: 0.5, betas: [0.5, 0.75]}
hierarchical:
  regularizer: {name: vicreg, variance: 1.0, covariance: 0.5, proj_dim: 16, min_vectors: 256}
  loss_weights: {space: {invariance: 0.0}, time: {invariance: 0.0}, clip: {down: 1.0, invariance: 0.0}}
"""
SIGREG = [f"hierarchical.regularizer.{value}" for value in ("weight=0.02", "num_slices=256", "proj_dim=8")]


def write(folder: Path, text: str, name: str = "own.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.fixture
def pinned(tmp_path: Path) -> str:
    return write(tmp_path, PINNED, "pinned.yaml")


def message(name_or_path: str, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(name_or_path, overrides)
    line = str(caught.value)
    assert "\n" not in line
    return line


# ------------------------------------------------------------------------------------------- which value wins


def test_the_defaults_run(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, "# nothing\n"))
    assert loaded.config.model_dump() == loaded.merged
    assert set(loaded.source.values()) <= {*DEFAULT_FILES, "default", f"name of {tmp_path}/own.yaml"}


def test_every_config_of_the_repository_loads() -> None:
    names = {path.name for path in CONFIG_FOLDER.glob("*.yaml")} - set(DEFAULT_FILES)
    assert "quickstart.yaml" in names
    for name in names:
        assert load_config(name).config.model_name == Path(name).stem


def test_a_name_of_a_run_at_wandb_replaces_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "wandb: {name: first, project: mine, tags: [a]}\n")
    wandb = load_config(path, ["wandb.name=second"]).config.wandb
    assert (wandb.name, wandb.project, wandb.tags) == ("second", "mine", ["a"])


def test_later_wins_key_by_key(tmp_path: Path) -> None:
    default = load_config(write(tmp_path, "", "default.yaml"))
    path = write(tmp_path, "optimizer: {lr: 0.5, weight_decay: 0.25}\nbatch_size: 3\n")
    loaded = load_config(path, ["optimizer.lr=0.125", "window.frequency=7"])
    assert loaded.config.optimizer.lr == 0.125
    assert loaded.config.optimizer.weight_decay == 0.25
    assert loaded.merged["optimizer"]["betas"] == default.merged["optimizer"]["betas"]
    assert loaded.config.batch_size == 3
    assert loaded.merged["window"] == {**default.merged["window"], "frequency": 7}
    assert {key: label for key, label in loaded.source.items() if key.startswith(("optimizer", "batch_size"))} == {
        "optimizer.name": "train_config.yaml",
        "optimizer.final_weight_decay": "default",
        "optimizer.base_lr": "default",
        "optimizer.nominal_batch": "default",
        "optimizer.lr": "command line",
        "optimizer.weight_decay": path,
        "optimizer.betas": "train_config.yaml",
        "batch_size": path,
    }


def test_of_two_overrides_the_later_wins(pinned: str) -> None:
    assert load_config(pinned, ["seed=1", "seed=2"]).config.seed == 2


@pytest.mark.parametrize("position", [0, 1, 4])
def test_a_new_name_replaces_the_whole_mapping(position: int, pinned: str) -> None:
    overrides = [*SIGREG, "hierarchical.regularizer.min_vectors=9"]
    overrides.insert(position, "hierarchical.regularizer.name=sigreg")
    loaded = load_config(pinned, overrides)
    assert loaded.merged["hierarchical"]["regularizer"] == {
        "name": "sigreg",
        "weight": 0.02,
        "num_slices": 256,
        "proj_dim": 8,
        "min_vectors": 9,
    }
    assert {label for key, label in loaded.source.items() if key.startswith("hierarchical.regularizer.")} == {
        "command line"
    }


def test_the_same_name_replaces_nothing(pinned: str) -> None:
    merged = load_config(pinned, ["hierarchical.regularizer={name: vicreg, variance: 3.0}"]).merged
    assert merged["hierarchical"]["regularizer"] == {
        "name": "vicreg",
        "variance": 3.0,
        "covariance": 0.5,
        "proj_dim": 16,
        "min_vectors": 256,
    }


def test_a_mapping_can_take_the_place_of_null(pinned: str) -> None:
    overrides = ["dataset.name=catalog", "dataset.root=x", "dataset.labels.space=digit"]
    loaded = load_config(pinned, overrides)
    given = {"name": "catalog", "root": "x", "labels": {"space": "digit"}}
    assert loaded.merged["dataset"] == given | {"catalog": None, "annotations": {}, "val_share": 0.15, "val_seed": 0}
    assert loaded.source["dataset.labels.space"] == "command line"
    assert loaded.source["dataset.catalog"] == "default"


def test_loading_leaves_no_trace_in_the_next(pinned: str) -> None:
    load_config(pinned, ["frame_size=[64,64]", "optimizer.lr=0.5"])
    again = load_config(pinned)
    assert again.config.frame_size == [32, 32]
    assert again.source["optimizer.lr"] == pinned


def test_model_name_is_the_files_name_unless_given(tmp_path: Path) -> None:
    path = write(tmp_path, "", "my_run.yaml")
    assert load_config(path).config.model_name == "my_run"
    assert load_config(path, ["model_name=other"]).config.model_name == "other"


# ----------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("1E5", 1e5), ("2", 2.0), (".5", 0.5), ("1.", 1.0)])
def test_numbers_are_numbers(text: str, value: float, pinned: str) -> None:
    assert load_config(pinned, [f"optimizer.lr={text}"]).config.optimizer.lr == value


@pytest.mark.parametrize("text", ["no", "on", "12:30", "2024-01-01", "a=b", "1_000", "'1e-3'"])
def test_text_is_text(text: str, pinned: str) -> None:
    assert load_config(pinned, [f"save_path={text}"]).config.save_path == text.strip("'")


def test_null_and_true_are_yaml(pinned: str) -> None:
    config = load_config(pinned, ["clip_grad_norm=null", "resume=true"]).config
    assert config.clip_grad_norm is None
    assert config.resume is True


def test_a_number_in_a_file_may_have_an_exponent(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "optimizer: {lr: 1e-4}")).config.optimizer.lr == 1e-4


# ------------------------------------------------------------------------------------------------- which file


def test_names_with_and_without_ending_are_the_same() -> None:
    assert (
        load_config("quickstart")
        == load_config("quickstart.yaml")
        == load_config(str(CONFIG_FOLDER / "quickstart.yaml"))
    )


def test_a_path_is_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "seed: 5\n", "quickstart.yaml")
    write(tmp_path, "seed: 6\n")
    assert load_config("quickstart.yaml").config.seed != 5  # the one in config/
    assert load_config("./quickstart.yaml").config.seed == 5
    assert load_config("own.yaml").config.seed == 6
    assert load_config("own.yaml").source["seed"] == "own.yaml"


def test_a_missing_file_names_the_nearest() -> None:
    assert message("quickstrat") == "config quickstrat not found; did you mean quickstart.yaml?"
    assert message("zzz.yaml").startswith("config zzz.yaml not found; config/ has ")
    assert "quickstart.yaml" in message("zzz.yaml")


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    assert message(str(tmp_path)) == f"config {tmp_path} is a folder: name a YAML file in it"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nbatch_size: 2\nseed: 3\n", "line 3: key 'seed' is given twice"),
        ("optimizer:\n  lr: 1\n  lr: 2\n", "line 3: key 'lr' is given twice"),
        ("a: 1\nb: [1\nc: 2\n", "line 3: while parsing a flow sequence expected ',' or ']', but got ':'"),
        ("a: 1\nb: c: d\n", "line 2: mapping values are not allowed here"),
        ("- a\n- b\n", "line 1: expected a mapping of keys to values, got a list"),
        ("word\n", "line 1: expected a mapping of keys to values, got the value word"),
        ("a: 1\n1: 2\n", "line 2: key 1 must be text: quote it"),
        ("a: 1\n? [b]\n: 2\n", "line 2: a key must be text"),
        ("a: 1\nb: !!python/name:os.system x\n", "line 2: could not determine a constructor for the tag "),
        ("a: 1\nb: \x07\n", "line 2: character #x0007 is not allowed"),
        ("a: &a\n  b: *a\n", "line 2: *a stands inside what it stands for"),
        ("seed: 1\noptimizer.lr: 3\n", "line 2: key 'optimizer.lr' has a dot, which only the command line knows"),
        ("seed: 1\n---\nseed: 2\n", "line 2: expected a single document in the stream but found another document"),
    ],
)
def test_bad_yaml_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    assert message(path).startswith(f"{path}, {said}")


def test_a_file_that_is_no_text_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"seed: 1\nsave_path: \xff\n")
    assert message(f"{tmp_path}/own.yaml") == f"{tmp_path}/own.yaml, line 2: not UTF-8 text; save the file as UTF-8"


def test_an_unreadable_file_is_told(tmp_path: Path, bound_by_rights: None) -> None:
    path = write(tmp_path, "seed: 1\n")
    Path(path).chmod(0)
    assert message(path) == f"{path}: cannot be read: Permission denied"


# ------------------------------------------------------------------------------------------------ wrong values


@pytest.mark.parametrize("override", ["foo", "=3", "a..b=3", ".a=3", "a.=3"])
def test_an_override_is_key_and_value(override: str, pinned: str) -> None:
    assert message(pinned, override) == f"'{override}': expected key=value, such as optimizer.lr=1e-3"


def test_an_override_that_is_no_yaml_is_told(pinned: str) -> None:
    assert message(pinned, "frame_size=[1").startswith("command line, frame_size=[1: while parsing a flow sequence")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("patch_sise=3", "unknown key patch_sise (command line); did you mean hierarchy.patch_size?"),
        ("optimizer.lrr=3", "unknown key optimizer.lrr (command line); did you mean optimizer.lr?"),
        ("lr=3", "unknown key lr (command line); did you mean optimizer.lr"),
        (
            "hierarchical.regularizer.varianc=3",
            "unknown key hierarchical.regularizer.varianc (command line); did you mean "
            "hierarchical.regularizer.variance?",
        ),
        (
            "dataset.videos.trian=3",
            "unknown key dataset.videos.trian (command line); did you mean dataset.videos.train?",
        ),
        (
            "hierarchical.loss_weights.spac.up=1",
            "unknown key hierarchical.loss_weights.spac (command line); did you mean hierarchical.loss_weights.space?",
        ),
        (
            "hierarchical.loss_weights.time.upp=1",
            "unknown key hierarchical.loss_weights.time.upp (command line); did you mean "
            "hierarchical.loss_weights.time.up?",
        ),
        ("dataset.catalog=x", "unknown key dataset.catalog (command line); it belongs to dataset.name=catalog"),
        ("window.zzz=1", "unknown key window.zzz (command line); window has length, sampling, end_share, frequency, "),
        ("zzzzz.y=1", "unknown key zzzzz (command line); docs/config.md lists all keys"),
    ],
)
def test_an_unknown_key_names_the_nearest(override: str, said: str, pinned: str) -> None:
    assert message(pinned, override).startswith(said)


def test_an_unknown_key_of_a_file_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "optimizer:\n  learning_rate: 3\n")
    assert message(path).startswith(f"unknown key optimizer.learning_rate ({path}); ")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optimizer.lr=fast", "optimizer.lr (command line): expected a number, got 'fast'"),
        ("optimizer.lr=0", "optimizer.lr (command line): expected more than 0, got 0"),
        ("optimizer.lr=.nan", "optimizer.lr (command line): expected a finite number, got .nan"),
        ("optimizer.lr.x=3", "optimizer.lr (command line): expected a number, got a mapping"),
        ("optimizer=3", "optimizer (command line): expected a mapping, got 3"),
        ("batch_size=12.5", "batch_size (command line): expected a whole number, got 12.5"),
        ("batch_size=true", "batch_size (command line): expected a whole number, got true"),
        ("batch_size=0", "batch_size (command line): expected at least 1, got 0"),
        ("scheduler.warmup=1", "scheduler.warmup (command line): expected less than 1, got 1"),
        ("max_bad_videos=2", "max_bad_videos (command line): expected at most 1, got 2"),
        ("save_path=3", "save_path (command line): expected text, got 3"),
        ("resume=yes", "resume (command line): expected true, false or 'auto', got 'yes'"),
        (
            "hierarchical.isolation=strickt",
            "hierarchical.isolation (command line): expected 'strict', 'overlap' or 'end2end', got 'strickt'",
        ),
        ("frame_size=32", "frame_size (command line): expected a list, got 32"),
        ("frame_size=[32]", "frame_size (command line): expected at least 2 values, got [32]"),
        ("frame_size=[32, a]", "frame_size[1] (command line): expected a whole number, got 'a'"),
        ("mean=[1, 2, 3, 4]", "mean (command line): expected at most 3 values, got [1, 2, 3, 4]"),
        (
            "augmentation.crop.scale=[0.9, 0.2]",
            "augmentation.crop.scale (command line): expected the least value first, got [0.9, 0.2]",
        ),
        (
            "optimizer={name: sgd, lr: 0.1, weight_decay: 0.0, momentum: 0.0, nesterov: true}",
            "optimizer (command line): nesterov and momentum disagree: Nesterov's momentum needs one above 0; 0.9 "
            "would fit",
        ),
        ("svt.local_time=[1, 0.5]", "svt.local_time (command line): expected the least value first, got [1, 0.5]"),
        ("window=null", "window (command line): expected a mapping, got null"),
        (
            "hierarchical.loss_weights.space.up=x",
            "hierarchical.loss_weights.space.up (command line): expected a number, got 'x'",
        ),
        (
            "hierarchical.regularizer.proj_dim=x",
            "hierarchical.regularizer.proj_dim (command line): expected a whole number, got 'x'",
        ),
        (
            "hierarchical.regularizer.name=vic",
            "hierarchical.regularizer.name (command line): expected 'vicreg', 'sigreg', 'visreg' or 'none', got 'vic'",
        ),
    ],
)
def test_a_wrong_value_is_told_in_the_users_words(override: str, said: str, pinned: str) -> None:
    assert message(pinned, override) == said


def test_a_wrong_value_of_a_file_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "dataset:\n  videos: {train: many}\n")
    assert message(path) == f"dataset.videos.train ({path}): expected a whole number, got 'many'"


def test_the_first_of_several_errors_counts_the_others(pinned: str) -> None:
    said = message(pinned, "batch_size=x", "seed=y", "optimizer.lrr=3")
    assert said == "unknown key optimizer.lrr (command line); did you mean optimizer.lr? (and 2 more)"


def test_a_new_name_without_its_keys_says_why_they_are_missing(pinned: str) -> None:
    assert message(pinned, "hierarchical.regularizer.name=sigreg", *SIGREG) == (
        "hierarchical.regularizer.min_vectors is missing (command line): a new hierarchical.regularizer.name "
        "replaces the whole of hierarchical.regularizer, "
        "so give all its keys"
    )


def test_values_that_disagree_are_one_clean_line(pinned: str) -> None:
    assert message(pinned, "frame_size=[33, 32]") == (
        "frame_size and hierarchy.patch_size disagree: height 33 is not divisible by 8; frame_size=[32,32] "
        "would fit, or "
        "frame_size=[40,32]"
    )


# ---------------------------------------------------------------------------------------------------- printing


def test_the_rendered_config_says_where_each_value_came_from(tmp_path: Path) -> None:
    path = write(tmp_path, "batch_size: 3\n")
    lines = render_config(load_config(path, ["optimizer.lr=1e-5"])).splitlines()
    words = {tuple(line.split()) for line in lines}
    assert ("batch_size:", "3", "#", path) in words
    assert ("lr:", "1.0e-05", "#", "command", "line") in words
    patch_size = str(load_config(path).config.section(HierarchySettings).patch_size)
    assert ("patch_size:", patch_size, "#", "arch_config.yaml") in words
    assert ("optimizer:",) in words
    assert all("  # " in line or line.endswith(":") for line in lines)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["save_path='1e-3'", "model_name='no # comment'"],
        ["save_path=\"two\\nlines: 'x' \\u00e9\""],
        ["optimizer.lr=1e-12", "clip_grad_norm=null", "frame_size=[64, 96]", "dataset.root=''"],
        [
            "dataset={name: catalog, root: x, labels: {}}",
            "hierarchical.regularizer={name: none}",
            "hierarchical.loss_weights.clip={}",
        ],
    ],
)
def test_the_rendered_config_is_a_config(tmp_path: Path, overrides: list[str], pinned: str) -> None:
    loaded = load_config(pinned, overrides)
    path = write(tmp_path, render_config(loaded))
    again = load_config(path)
    assert again.config == loaded.config
    assert again.merged == loaded.merged
    assert set(again.source.values()) == {path}
