"""A joint transformer that reads a caption beside the patches of one frame or two."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from architecture.caption_decoder import CaptionDecoder
from architecture.encoder import Features, Tokens
from architecture.joint_transformer import JointTokens, JointTransformer
from architecture.vit_blocks import init_token, init_xavier

Mode = Literal["multimodal", "visual"]


class ConditionedTransformer(nn.Module):
    """The encoder of Voltron (Karamcheti et al., 2023, arXiv 2302.12766): patches and words see each other.

    What a frozen text encoder has made of a caption's tokens is projected and stands beside the patches, with a learned
    vector for either kind. Padded tokens are hidden from everyone: as keys, so that they change nothing (the published
    code hid them as queries, and every patch saw them). Of two frames, which share their positions, a learned vector
    says which is which.

    Without a caption it reads that of no words, [CLS] alone, whose states it holds.

    Args:
        joint: sees patches of single frames.
        frames: of a window, 1 or 2.
        text_dim: width of the text encoder's states.
        max_tokens: tokens of a caption, L.
        decoder: what generates captions, where a task trains one; it is kept with the encoder to score captions by.
    """

    def __init__(
        self,
        joint: JointTransformer,
        frames: int,
        text_dim: int,
        max_tokens: int,
        decoder: CaptionDecoder | None = None,
    ) -> None:
        super().__init__()
        self.joint, self.frames = joint, frames
        self.level, self.dim, self.grid = joint.level, joint.dim, joint.grid
        self.tubelet, self.patch_size = joint.tubelet, joint.patch_size
        self.project = nn.Linear(text_dim, joint.dim)
        init_xavier(self.project)
        self.image_D, self.word_D = (init_token(nn.Parameter(torch.zeros(joint.dim))) for _ in range(2))
        # Normal with standard deviation 1, as published: on the scale of the positions.
        self.frame_FD = nn.Parameter(torch.randn(frames, joint.dim)) if frames > 1 else None
        self.decoder = decoder
        self.no_words_LT: Tensor
        self.text_encoder: Tensor
        self.register_buffer("no_words_LT", torch.zeros(max_tokens, text_dim))
        self.register_buffer("text_encoder", torch.zeros(16, dtype=torch.uint8))

    @property
    def fingerprint(self) -> str:
        """What the text encoder is known by that the captions of the training came from."""
        return bytes(self.text_encoder.tolist()).decode("ascii")

    @torch.no_grad()
    def know_text_encoder(self, fingerprint: str, no_words_LT: Tensor) -> None:
        """Keeps what tells text encoders apart, 16 characters, and the states of a caption of no words."""
        self.text_encoder.copy_(torch.tensor(list(fingerprint.encode("ascii")), dtype=torch.uint8))
        self.no_words_LT.copy_(no_words_LT)

    def no_words(self, batch: int) -> tuple[Tensor, Tensor]:
        """As many captions of no words: their states [B, L, text_dim], and which tokens are shown [B, L]."""
        shown_L = torch.arange(len(self.no_words_LT), device=self.no_words_LT.device) == 0
        return self.no_words_LT.expand(batch, -1, -1), shown_L.expand(batch, -1)

    def encode(
        self,
        video_BTCHW: Tensor,
        states_BLT: Tensor | None = None,
        shown_BL: Tensor | None = None,
        keep_BK: Tensor | None = None,
    ) -> JointTokens:
        """Lets patches and words see each other.

        Args:
            video_BTCHW: normalised windows of `frames` frames.
            states_BLT: the text encoder's states of the tokens of captions; None: captions of no words.
            shown_BL: bool, False for padded tokens.
            keep_BK: the numbers of the patches that are shown; None: all.
        """
        if states_BLT is None or shown_BL is None:
            states_BLT, shown_BL = self.no_words(len(video_BTCHW))
        patches_BKD = self.joint.embed(video_BTCHW, keep_BK) + self.image_D
        if self.frame_FD is not None:
            places = self.grid[1] * self.grid[2]
            all_N = torch.arange(self.frames * places, device=patches_BKD.device)
            patches_BKD = patches_BKD + self.frame_FD[(all_N if keep_BK is None else keep_BK) // places]
        return self.joint.encode(patches_BKD, self.project(states_BLT) + self.word_D, shown_BL)

    def forward(self, video_BTCHW: Tensor) -> Features:
        """The features of windows without captions: {level: [B, 1, dim]}."""
        return self.features_and_tokens(video_BTCHW)[0]

    def features_and_tokens(self, video_BTCHW: Tensor) -> tuple[Features, Tokens]:
        """The features {level: [B, 1, dim]} and the last frame's patches {level: [B, 1, N, dim]}, without captions."""
        encoded = self.encode(video_BTCHW)
        tokens_BND = self._last_frame(encoded.tokens_BKD)
        features_B1D = encoded.cls_B1D if self.joint.features == "cls" else tokens_BND.mean(dim=1, keepdim=True)
        assert features_B1D is not None
        return {self.level: features_B1D}, {self.level: tokens_BND[:, None]}

    def represent(
        self,
        video_BTCHW: Tensor,
        states_BLT: Tensor | None = None,
        shown_BL: Tensor | None = None,
        mode: Mode = "multimodal",
    ) -> Tensor:
        """What windows look like in the light of captions: the patches of the last frame, and the words.

        Args:
            video_BTCHW: normalised windows.
            states_BLT: see `encode`.
            shown_BL: see `encode`.
            mode: `multimodal`: [B, N + L, dim]; `visual`: the patches alone, [B, N, dim], which have seen the words.
        """
        encoded = self.encode(video_BTCHW, states_BLT, shown_BL)
        patches_BND = self._last_frame(encoded.tokens_BKD)
        if mode == "visual":
            return patches_BND
        assert encoded.extra_BLD is not None
        return torch.cat([patches_BND, encoded.extra_BLD], dim=1)

    def _last_frame(self, tokens_BKD: Tensor) -> Tensor:
        return tokens_BKD[:, -self.grid[1] * self.grid[2] :]
