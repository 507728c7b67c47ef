"""Multi-head attention pooling: a few learned vectors ask all tokens of an image, or of an image and its caption."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from architecture.vit_blocks import SwiGLU, init_token, init_xavier


class AttentionPooling(nn.Module):
    """The MAP head of Voltron (Karamcheti et al., 2023, arXiv 2302.12766; Lee et al., 2019, arXiv 1810.00825).

    Its weights are random: it learns with whatever comes after it, on the tokens of a frozen encoder. (The classifiers
    of the protocol `attentive_probe` look alike and are others: many of them, trained at once, with a label behind.)

    Args:
        dim: width of the tokens.
        heads: attention heads, twice those of the encoder.
        latents: learned vectors that ask.
        mlp_ratio: hidden width of the MLP as a multiple of `dim`.
    """

    def __init__(self, dim: int, heads: int, latents: int = 1, mlp_ratio: int = 4) -> None:
        super().__init__()
        if dim % heads or latents < 1:
            raise ValueError(f"{heads} heads cannot share a width of {dim}, or {latents} latents ask nothing")
        self.heads, self.latents = heads, latents
        self.to_tokens = nn.Linear(dim, dim)
        self.latents_QD = init_token(nn.Parameter(torch.zeros(latents, dim)))
        self.to_query, self.to_keys_values = nn.Linear(dim, dim, bias=False), nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)
        self.attention_norm, self.mlp_norm = nn.RMSNorm(dim, eps=1e-8), nn.RMSNorm(dim, eps=1e-8)
        self.mlp = SwiGLU(dim, mlp_ratio * dim)
        self.apply(init_xavier)

    def forward(self, tokens_BND: Tensor, shown_BN: Tensor | None = None) -> Tensor:
        """[B, N, D] to [B, latents, D], or with one latent to [B, D].

        Args:
            tokens_BND: of an encoder.
            shown_BN: bool, False for padded tokens, which nobody sees; None: all are seen.
        """
        keys_values = self.to_keys_values(self.to_tokens(tokens_BND))
        k, v = rearrange(keys_values, "b n (two h d) -> two b h n d", two=2, h=self.heads)
        asking_BQD = self.latents_QD.expand(len(tokens_BND), -1, -1)
        q = rearrange(self.to_query(asking_BQD), "b q (h d) -> b h q d", h=self.heads)
        shown = None if shown_BN is None else shown_BN[:, None, None]
        found_BHQD = F.scaled_dot_product_attention(q, k, v, attn_mask=shown)
        pooled_BQD: Tensor = self.attention_norm(
            asking_BQD + self.to_out(rearrange(found_BHQD, "b h q d -> b q (h d)"))
        )
        pooled_BQD = self.mlp_norm(pooled_BQD + self.mlp(pooled_BQD))
        return pooled_BQD[:, 0] if self.latents == 1 else pooled_BQD
