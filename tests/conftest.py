"""What the tests of the model, the trainer and the evaluation share: a small config and a small real dataset."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from config.load import load_config
from config.schema import Config
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.catalog import Catalog
from runs.reporting.console import ConsoleHandler

# One thread, also where pytest is started without run_tests.sh: processes that tests fork would wait for ever for the
# threads that computed in their parent.
torch.set_num_threads(1)

TINY_VIDEOS = {"train": 24, "val": 12, "test": 12}
# Every level has a width of its own, so that a mix-up of levels does not fit.
TINY = """\
encoder: hierarchical
encoder_checkpoint: null
groups: [space, time, clip]
batchnorm_momentum: 0.1
hierarchy:
  patch_size: 8
  frames_per_clip: 2
  position_embedding: learned
  stem: linear
  temporal_stem: false
  output_batchnorm: false
  interlevel_noise: 0.0
  backbone: {dim: 14, weight_init: torch, pred_h_dim: 10}
  space:
    {dim: 16, layers: 1, heads: 2, head_dim: 8, mlp_dim: 24, dropout: 0.0, pred_h_dim: 12, weight_init: torch,
    stochastic_depth: 0.0, causal_mask: false}
  time:
    {dim: 20, layers: 1, heads: 2, head_dim: 8, mlp_dim: 24, dropout: 0.0, pred_h_dim: 14, weight_init: torch,
    stochastic_depth: 0.0, causal_mask: false}
  clip:
    {dim: 24, layers: 1, heads: 2, head_dim: 8, mlp_dim: 24, dropout: 0.0, pred_h_dim: 16, weight_init: torch,
    stochastic_depth: 0.0, causal_mask: false}

joint:
  {patch_size: 8, tubelet: 2, dim: 16, layers: 2, heads: 2, mlp_dim: 24, positions: 3d, cls_token: false,
  features: mean, norm: layer, mlp: gelu, qkv_bias: true, layer_scale: null, drop_path: 0.0}

frame_size: [16, 24]
load_size: null
eval_crop: centre
video_decoder: pyav
mean: [0.3, 0.3, 0.3]
std: [0.15, 0.15, 0.15]
augmentation: {flip: 0.0, static_swap: {probability: 0.0}}
weak_augmentation: {flip: 0.0, static_swap: {probability: 0.0}}
window: {length: 6, frequency: 1, step: null, max_seq_per_video: 1, eval_windows: 2}
num_workers: 0

task: hierarchical
hierarchical:
  isolation: strict
  use_temporal_prediction: true
  loss: {name: mse}
  loss_weights:
    backbone: {up: 1, side: 1, invariance: 0}
    space: {up: 1, down: 1, side: 1, invariance: 0}
    time: {up: 1, down: 1, side: 1, invariance: 0}
    clip: {down: 1, invariance: 0}
  interpolate_loss_weights_to_uniformity: false
  down_target: pixels
  down_targets: all
  positions: per_sample
  std_divisor: 2.0
  views: {backbone: [none], space: [none], time: [none], clip: [none]}
  second_view: augmentation
  predict_across_views: true
  targets: online
  target_norm: standardize
  detach_targets: true
  detach_side_targets: true
  ema: {momentum: 0.9, final_momentum: 1.0}
  regularizer: {name: vicreg, variance: 1, covariance: 1, proj_dim: 18, min_vectors: 32}
  standardize_predictors: true
supervised: {augment: false}
vicreg: {proj_dim: 18, invariance: 25.0, variance: 25.0, covariance: 1.0}
svt: {out_dim: 22, hidden_dim: 26, bottleneck_dim: 18, local_views: 1}
masked:
  mask: random
  mask_ratio: 0.5
  repeats: 1
  augment: true
  normalise: patch
  undo_normalisation: false
  isolation: strict
  decoder: {dim: 12, layers: 1, heads: 2, mlp_dim: 20, positions: 3d, norm: layer, mlp: gelu, qkv_bias: true}

optimizer: {name: adamw, lr: 0.001, weight_decay: 0.1, betas: [0.9, 0.95]}
scheduler: {name: cosine, warmup: 0.25, final_lr: 0.1}
lr_scale: {space: 1.0, time: 1.0, clip: 1.0}
num_iters_grad_accum: 1
use_single_optimizer: false
predictor: {pred_multiplier: 1.0, pred_aside: 0}
alternating_interval: null
explicit_freeze: false
always_compute_loss: false
use_mixed_precision: true
mixed_precision: auto
max_bad_steps: 5
strict_monitors: false
clip_grad_norm: 1.0
batch_size: 8
seed: 3
knn_k: 5
figures: [pca]  # UMAP takes a minute
model_figures: []
"""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXFSZ, signal.SIGPIPE)
# Of <linux/capability.h>, <linux/prctl.h> and <linux/securebits.h>.
_CAPABILITY_VERSION, _BOUND = 0x20080522, ~0b110  # without dac_override, dac_read_search: what ignores rights
_GET_SECUREBITS, _SET_SECUREBITS = 27, 28
_NO_ROOT = 0b101  # programs that are started do not get the capabilities back; access() does not look them up


@pytest.fixture(autouse=True)
def left_as_found() -> Iterator[None]:
    """Puts back what a test changed in this process: no test depends on those before it."""
    root, folder, environment = logging.getLogger(), Path.cwd(), dict(os.environ)
    # Fixtures of a wider scope run the program, too, and came before this one.
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, ConsoleHandler)]
    root.setLevel(logging.WARNING)
    handlers, level = root.handlers[:], root.level
    # As at a terminal: under nohup, or in a script's background, these are ignored, and programs started inherit that.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signals = {number: signal.getsignal(number) for number in _SIGNALS}
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    os.chdir(folder)
    if os.environ != environment:
        os.environ.clear()
        os.environ.update(environment)
    for number, handler in signals.items():
        signal.signal(number, handler)
    random.setstate(python_state)
    np.random.set_state(numpy_state)
    torch.set_rng_state(torch_state)
    torch.set_default_dtype(dtype)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@pytest.fixture
def bound_by_rights() -> Iterator[None]:
    """The rights of files bind this process and those that it starts, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    capabilities = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, capabilities) == 0
    before, bits = capabilities[0], libc.prctl(_GET_SECUREBITS)
    if libc.prctl(_SET_SECUREBITS, bits | _NO_ROOT) != 0:
        pytest.skip("this root may not give up its rights")
    try:
        capabilities[0] = before & _BOUND
        assert libc.capset(header, capabilities) == 0
        yield
    finally:
        capabilities[0] = before
        assert libc.capset(header, capabilities) == 0
        assert libc.prctl(_SET_SECUREBITS, bits) == 0


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of moving_digits: 24 videos in train, 12 in val, 12 in test. Copy it to change it."""
    from data_utils.prepare import moving_digits  # its imports take seconds

    root = tmp_path_factory.mktemp("tiny") / "moving_digits"
    with joblib.parallel_config(backend="sequential"):  # processes would take longer to start than this takes
        moving_digits.prepare(root, TINY_VIDEOS, seed=0)
    return root


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Config]:
    """Makes a config of small numbers: `tiny_config("key=value", ..., root=dataset)`.

    Nothing in it that matters to a test is left to the default files.
    """
    folder = tmp_path_factory.mktemp("config")
    (folder / "tiny.yaml").write_text(TINY)

    def make(*overrides: str, root: Path = folder) -> Config:
        videos = ", ".join(f"{split}: {count}" for split, count in TINY_VIDEOS.items())
        dataset = f'dataset={{name: moving_digits, root: "{root}", videos: {{{videos}}}, seed: 0}}'
        return load_config(str(folder / "tiny.yaml"), [dataset, *overrides]).config

    return make


@pytest.fixture(scope="session")
def tiny_catalogs(
    tiny_dataset: Path, tiny_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Catalog]:
    """The catalogs of `tiny_dataset`, with the label sets of all three levels."""
    config = tiny_config(root=tiny_dataset)
    return open_catalogs(config, config.groups, tmp_path_factory.mktemp("bad") / "bad_videos.csv")
