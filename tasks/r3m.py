"""R3M: frames near in time are alike, and a caption says which frames are nearer to its goal."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from architecture.frame_encoder import FrameEncoder
from config.schema import Config
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import TrainingViews, View
from parallel.batch_share import batch_windows, gathered, own_windows
from tasks.contrast import Contrast, contrast, of_others
from tasks.encoder import build_encoder
from tasks.language_masked import training_captions
from tasks.r3m_settings import R3MSettings
from tasks.task import Losses, ParameterGroup, StepContext, Task


class Reward(nn.Module):
    """How far a frame is, from the first one, in doing what a caption says: an MLP that ends in a sigmoid.

    Args:
        dim: width of a frame's features.
        text_dim: width of a caption's.
        hidden: width of the four hidden layers.
    """

    def __init__(self, dim: int, text_dim: int, hidden: int) -> None:
        super().__init__()
        widths = [2 * dim + text_dim, *[hidden] * 4]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, 1), nn.Sigmoid())

    def forward(self, first: Tensor, frame: Tensor, caption: Tensor) -> Tensor:
        """[..., D], [..., D] and [..., T] to [...] in (0, 1)."""
        rewards: Tensor = self.layers(torch.cat([first, frame, caption], dim=-1))[..., 0]
        return rewards


class R3MTask(Task):
    """R3M (Nair et al., 2022, arXiv 2203.12601) as Voltron trains it (arXiv 2302.12766), on five frames of a video.

    * Time: of three frames between the ends, i < j < k, j is nearer to i than k is, and nearer to k than i is, by
      InfoNCE on the negative distance; frames of other videos are further negatives.
    * Reward: of the first frame, the caption and another frame, a later one earns more than an earlier one, and than
      frames of other videos.
    * The features' L1 and L2 norms are kept small.

    Args:
        config: the whole config.
        train: the training catalog, with captions.

    Raises:
        InputError: there are no captions, the text encoder is not there or has another width, or see
            `load_encoder_checkpoint`.
    """

    def __init__(self, config: Config, train: Catalog) -> None:
        super().__init__()
        self.settings = config.section(R3MSettings)
        self.augmentation = config.augmentation if self.settings.augment else None
        self.network = cast(FrameEncoder, build_encoder(config))
        self.reward = Reward(self.network.dim, self.settings.text.dim, self.settings.hidden_dim)
        self.captions = training_captions(self.settings.text, train)

    @property
    def encoder(self) -> nn.Module:
        """The encoder without the reward."""
        return self.network

    @property
    def views(self) -> tuple[View, ...]:
        """The window."""
        return (View(augmentation=self.augmentation),)

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; the terms are time, reward, l1 and l2."""
        settings = self.settings
        [video_BTCHW] = batch.videos
        features_BTD = self.network.frames(video_BTCHW).float()
        captions = self.captions.of_rows(batch.rows_B)
        shown_BL1 = captions.shown_BL[..., None]
        caption_BT = ((captions.states_BLT * shown_BL1).sum(dim=1) / shown_BL1.sum(dim=1)).to(video_BTCHW.device)
        # Videos of other processes are others, too; each contrasts its own.
        drawn_NB = of_others(batch_windows(len(features_BTD)), settings.negatives, step.generator)
        others_NB = own_windows(drawn_NB.T).T.to(video_BTCHW.device)
        time, reward = self._time(features_BTD, others_NB), self._reward(features_BTD, caption_BT, others_NB)
        step.measure("time_accuracy", time.accuracy)
        step.measure("reward_accuracy", reward.accuracy)
        terms = {
            "time": settings.time_weight * time.loss,
            "reward": settings.reward_weight * reward.loss,
            "l1": settings.l1 * features_BTD.abs().sum(dim=-1).mean(),
            "l2": settings.l2 * features_BTD.norm(dim=-1).mean(),
        }
        return {"r3m": terms}

    def _time(self, features_BTD: Tensor, others_NB: Tensor) -> Contrast:
        """The contrast in time of inner frames i, j, k: j is near to i and to k; the far end, other videos are not."""
        i_BD, j_BD, k_BD = features_BTD[:, 1:4].unbind(dim=1)
        all_i, _, all_k = gathered(features_BTD)[:, 1:4].unbind(dim=1)
        return contrast(
            [
                (-distance(i_BD, j_BD), [-distance(i_BD, k_BD), *(-distance(i_BD, all_k[o]) for o in others_NB)]),
                (-distance(k_BD, j_BD), [-distance(k_BD, i_BD), *(-distance(k_BD, all_i[o]) for o in others_NB)]),
            ]
        )

    def _reward(self, features_BTD: Tensor, caption_BT: Tensor, others_NB: Tensor) -> Contrast:
        """A later frame earns more than an earlier one: the last than the first, j than i, k than j."""
        whole_BTD = gathered(features_BTD)

        def earned(frame: int, by_B: Tensor | None = None) -> Tensor:
            """The reward of frame number `frame`; `by_B`: of other videos' frames, from their own first one."""
            own_BTD = features_BTD if by_B is None else whole_BTD[by_B]
            return cast(Tensor, self.reward(own_BTD[:, 0], own_BTD[:, frame], caption_BT))

        first, i, j, k, last = range(5)
        pairs = [(last, first), (j, i), (k, j)]
        return contrast(
            [(earned(later), [earned(earlier), *(earned(later, o) for o in others_NB)]) for later, earlier in pairs]
        )

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group: the encoder; its predictor is the reward."""
        return {"r3m": ParameterGroup(list(self.network.parameters()), list(self.reward.parameters()))}


def distance(one_BD: Tensor, other_BD: Tensor) -> Tensor:
    """The Euclidean distance [B]; its gradient is finite where both are the same."""
    return ((one_BD - other_BD).square().sum(dim=-1) + 1e-12).sqrt()
