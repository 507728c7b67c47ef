"""Other ways to encode a window, of the width and depth of the hierarchy: what its training step is compared with.

Each is a network from normalised windows [B, T, C, H, W] to a vector, trained by cross-entropy, but for the masked
autoencoder, which predicts pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from architecture.blocks import Attention, Block
from architecture.geometry import MIN_FRAMES
from architecture.positions import Positions
from architecture.stem import PatchStem, patchify
from architecture.torchvision_networks import TorchvisionName, TorchvisionNetwork
from config.schema import Config
from losses import patch_target
from tasks.encoder_settings import HierarchySettings

CLASSES = 400


class Tokens(nn.Module):
    """Patches of all frames, with their positions in space and in time: [B, T, P, D]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, grid = config.dim("space"), config.geometry.grid
        self.stem = PatchStem(config.section(HierarchySettings).patch_size, dim)
        self.places = Positions(grid, dim, "learned")
        self.times = Positions((config.window.length,), dim, "learned")

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """Normalised windows to tokens."""
        tokens_BTPD = self.places(self.stem(video_BTCHW))
        tokens: Tensor = tokens_BTPD + self.times.table_ND[:, None]
        return tokens


def blocks_of(config: Config, level: str, layers: int | None = None) -> list[Block]:
    """As many blocks of the numbers of a level."""
    numbers = config.level(level)
    make = partial(Block, numbers.dim, numbers.heads, numbers.head_dim, numbers.mlp_dim, 0.0, causal=False, skip=0.0)
    return [make() for _ in range(layers or numbers.layers)]


def depth_of(config: Config) -> int:
    """Blocks of all levels."""
    return sum(config.level(level).layers for level in config.geometry.joining)


class JointViT(nn.Module):
    """A ViT whose tokens are the patches of all frames: attention over space and time at once."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.tokens = Tokens(config)
        self.blocks = nn.Sequential(*blocks_of(config, "space", depth_of(config)))
        self.norm = nn.LayerNorm(config.dim("space"))

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to [B, D]."""
        vectors_BD: Tensor = self.norm(self.blocks(self.tokens(video_BTCHW).flatten(1, 2))).mean(dim=1)
        return vectors_BD


class DividedBlock(nn.Module):
    """Attention over time, then a ViT's block over space (TimeSformer, Bertasius et al., 2021, arXiv 2102.05095)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        numbers = config.level("space")
        self.norm = nn.LayerNorm(numbers.dim)
        self.over_time = Attention(numbers.dim, numbers.heads, numbers.head_dim, 0.0, False)
        (self.over_space,) = blocks_of(config, "space", 1)

    def forward(self, tokens_BTPD: Tensor) -> Tensor:
        """[B, T, P, D] to the same shape."""
        batch, frames, patches = tokens_BTPD.shape[:3]
        rows = rearrange(self.norm(tokens_BTPD), "b t p d -> (b p) t d")
        tokens_BTPD = tokens_BTPD + rearrange(self.over_time(rows), "(b p) t d -> b t p d", b=batch, p=patches)
        mixed: Tensor = self.over_space(tokens_BTPD.flatten(0, 1))
        tokens: Tensor = mixed.unflatten(0, (batch, frames))
        return tokens


class DividedViT(nn.Module):
    """A ViT with divided attention: as many blocks as the hierarchy has in all levels."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.tokens = Tokens(config)
        self.blocks = nn.Sequential(*(DividedBlock(config) for _ in range(depth_of(config))))
        self.norm = nn.LayerNorm(config.dim("space"))

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to [B, D]."""
        vectors_BD: Tensor = self.norm(self.blocks(self.tokens(video_BTCHW))).mean(dim=(1, 2))
        return vectors_BD


class MaskedAutoencoder(nn.Module):
    """A joint ViT on a tenth of the patches, and a decoder of half the width and a quarter of the depth on all.

    (MAE for video: Feichtenhofer et al., 2022, arXiv 2205.09113; a random 90 % of the patches is masked.)
    """

    def __init__(self, config: Config, masked: float = 0.9) -> None:
        super().__init__()
        dim, self.patch_size = config.dim("space"), config.section(HierarchySettings).patch_size
        numbers = config.level("space")
        self.tokens = Tokens(config)
        self.blocks = nn.Sequential(*blocks_of(config, "space", depth_of(config)))
        places = config.window.length * config.geometry.patches
        self.kept = max(1, round((1 - masked) * places))
        self.narrow, self.mask_D = nn.Linear(dim, dim // 2), nn.Parameter(torch.zeros(dim // 2))
        self.places = Positions((places,), dim // 2, "learned")
        sizes = dim // 2, max(1, numbers.heads // 2), numbers.head_dim, numbers.mlp_dim // 2
        decoder = [Block(*sizes, 0.0, causal=False, skip=0.0) for _ in range(max(1, depth_of(config) // 4))]
        self.decoder = nn.Sequential(*decoder, nn.Linear(dim // 2, 3 * self.patch_size**2))

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """The loss: the squared error of the masked patches' pixels, normalised patch by patch."""
        tokens_BND = self.tokens(video_BTCHW).flatten(1, 2)
        target_BNE = patch_target(patchify(video_BTCHW, self.patch_size)).flatten(1, 2)
        order_BN = torch.rand(tokens_BND.shape[:2], device=tokens_BND.device).argsort(dim=1)[..., None]
        shown_BKD = self.narrow(self.blocks(tokens_BND.take_along_dim(order_BN[:, : self.kept], dim=1)))
        masked = (len(tokens_BND), tokens_BND.shape[1] - self.kept, shown_BKD.shape[-1])
        shuffled_BND = torch.cat([shown_BKD, self.mask_D.to(shown_BKD.dtype).expand(masked)], dim=1)
        predicted_BNE = self.decoder(self.places(shuffled_BND.take_along_dim(order_BN.argsort(dim=1), dim=1)))
        hidden = order_BN[:, self.kept :]
        return F.mse_loss(predicted_BNE.take_along_dim(hidden, 1).float(), target_BNE.take_along_dim(hidden, 1))


class Frames(nn.Module):
    """timm's ViT on every frame by itself, and the mean over the frames."""

    def __init__(self, config: Config) -> None:
        import timm

        super().__init__()
        numbers = config.level("space")
        self.network = timm.models.VisionTransformer(
            (config.frame_size[0], config.frame_size[1]),
            config.section(HierarchySettings).patch_size,
            num_classes=0,
            embed_dim=numbers.dim,
            depth=numbers.layers,
            num_heads=numbers.heads,
            mlp_ratio=numbers.mlp_dim / numbers.dim,
        )

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to [B, D]."""
        vectors: Tensor = self.network(video_BTCHW.flatten(0, 1))
        vectors_BD: Tensor = vectors.unflatten(0, video_BTCHW.shape[:2]).mean(dim=1)
        return vectors_BD


class Torchvision(nn.Module):
    """A video network of torchvision."""

    def __init__(self, config: Config, name: TorchvisionName) -> None:
        super().__init__()
        if config.window.length < MIN_FRAMES[name]:
            raise ValueError(f"{name} needs {MIN_FRAMES[name]} frames")
        self.level = config.groups[-1]
        self.network = TorchvisionNetwork(name, self.level, 0.1)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to [B, D]."""
        vectors: Tensor = self.network(video_BTCHW)[self.level][:, 0]
        return vectors


RIVALS: dict[str, Callable[[Config], nn.Module]] = {
    "joint": JointViT,
    "divided": DividedViT,
    "masked": MaskedAutoencoder,
    "timm_frames": Frames,
    "s3d": partial(Torchvision, name="s3d"),
    "r2plus1d_18": partial(Torchvision, name="r2plus1d_18"),
    "mvit_v2_s": partial(Torchvision, name="mvit_v2_s"),
}


def loss_of(network: nn.Module, config: Config) -> Callable[[Tensor], Tensor]:
    """What a rival is trained by: its own loss, or the cross-entropy of a class for each window."""
    if isinstance(network, MaskedAutoencoder):
        return network
    device = next(network.parameters()).device
    size = (1, config.window.length, 3, *config.frame_size)
    with torch.no_grad():
        width = network.eval()(torch.zeros(size, device=device)).shape[1]
    network.train().add_module("head", nn.Linear(width, CLASSES).to(device))
    return lambda video: F.cross_entropy(
        network.head(network(video)).float(),  # type: ignore[operator]
        torch.arange(len(video), device=device) % CLASSES,
    )
