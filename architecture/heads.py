"""The small networks around a level: what predicts its neighbours, and what its regulariser looks at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from architecture import batch_statistics
from architecture.batch_norm import BatchNorm1d


class Standardised(nn.Module):
    """Standardises each dimension over all vectors of a batch, without weights of its own.

    Summaries of different videos may differ by no more than a thousandth of their length, and a predictor that gets
    them as they are stays a constant (measured: its error falls to that of the mean, and no further).

    Running statistics, for evaluation and for single vectors, begin as the mean of the batches so far, so that a small
    variance is known at once, and go on as a running mean.

    Args:
        dim: width of the vectors.
        momentum: share of a new batch in the running statistics, once there were 1 / momentum of them.
    """

    def __init__(self, dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, 1e-10
        self.mean_D: Tensor
        self.var_D: Tensor
        self.batches: Tensor
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("var_D", torch.ones(dim))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, vectors: Tensor) -> Tensor:
        """[..., D] to [..., D] in float32, whatever the autocast."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()
            if not self.training or batch_statistics.count(vectors.flatten(0, -2)) == 1:
                return (vectors - self.mean_D) * (self.var_D + self.eps).rsqrt()
            var_D, mean_D = batch_statistics.variance_and_mean(vectors.flatten(0, -2))
            self._follow(mean_D.detach(), var_D.detach())
            return (vectors - mean_D) * (var_D + self.eps).rsqrt()

    def _follow(self, mean_D: Tensor, var_D: Tensor) -> None:
        """Moves the running statistics towards those of a batch."""
        self.batches += 1
        share = (1 / self.batches).clamp(min=self.momentum)
        self.mean_D.lerp_(mean_D, share)
        self.var_D.lerp_(var_D, share)


class Predictor(nn.Module):
    """Turns a unit's vector, and the place of what is asked for, into a prediction: an MLP with one hidden layer.

    Args:
        in_dim: width of the vector.
        hidden_dim: width of the hidden layer.
        out_dim: width of the target.
        tables: number of places in each table that a place is looked up in; none where there is only one to ask for.
            With several, a place is a number in each, and the sum of the embeddings stands for it.
        batchnorm_momentum: share of a new batch in the running statistics of the vectors.
        standardize: whether the vectors are standardised over the batch; see `Standardised`.
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int,
        out_dim: int,
        tables: Sequence[int] = (),
        batchnorm_momentum: float = 0.1,
        standardize: bool = True,
    ) -> None:
        super().__init__()
        self.norm = Standardised(in_dim, batchnorm_momentum) if standardize else nn.Identity()
        self.hidden = nn.Linear(in_dim, hidden_dim)
        self.places = nn.ModuleList(nn.Embedding(places, hidden_dim) for places in tables)
        self.out = nn.Sequential(nn.LayerNorm(hidden_dim), nn.GELU(), nn.Linear(hidden_dim, out_dim))

    def forward(self, vectors: Tensor, *places: Tensor) -> Tensor:
        """Predicts what is at `places`.

        Args:
            vectors: [..., in_dim].
            places: int64, one per table, of shapes that broadcast with [...].

        Returns:
            [..., out_dim] in the broadcast shape.
        """
        hidden = self.hidden(self.norm(vectors))
        for table, place in zip(self.places, places, strict=True):
            hidden = hidden + table(place)
        prediction: Tensor = self.out(hidden)
        return prediction


class Projector(nn.Module):
    """The BatchNorm projector that the regulariser looks through (VICReg, Bardes et al., 2022, arXiv 2105.04906).

    Args:
        in_dim: width of the vectors.
        dim: width of what they become.
        batchnorm_momentum: share of a new batch in BatchNorm's running statistics.
    """

    def __init__(self, in_dim: int, dim: int, batchnorm_momentum: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, dim, bias=False),
            BatchNorm1d(dim, momentum=batchnorm_momentum),
            nn.ReLU(),
            nn.Linear(dim, dim),
        )

    def forward(self, summaries_ND: Tensor) -> Tensor:
        """[N, in_dim] to [N, dim], in float32 whatever the autocast."""
        with torch.autocast(summaries_ND.device.type, enabled=False):
            projected: Tensor = self.layers(summaries_ND.float())
        return projected
