"""One encoder with one dataset, as protocols see them: splits that are encoded when they are first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from parallel.group import joined
from protocols.encoded_split import EncodedSplit
from protocols.encoded_tokens import EncodedTokens, TokenKind
from protocols.encoding import encode_split
from protocols.feature_places import FeaturePlace
from protocols.window_memory import WindowMemory


class EncodedData:
    """One encoder with the splits of one dataset, each of which is encoded when it is first asked for.

    Attributes:
        encoder: gives Features; no protocol changes it.
        name: of the dataset, for results and messages.
        catalogs: by split.
        config: the run's, with this dataset, its windows and sizes.
        device: where the encoder is.
    """

    def __init__(
        self,
        encoder: nn.Module,
        name: str,
        catalogs: Mapping[str, Catalog],
        config: Config,
        device: torch.device,
        bad_videos: BadVideos,
        memory: WindowMemory | None = None,
        folder: Path | None = None,
    ) -> None:
        """Encodes nothing yet.

        Args:
            encoder: gives Features.
            name: of the dataset.
            catalogs: by split.
            config: the run's, with this dataset.
            device: where the encoder is.
            bad_videos: is told what cannot be read.
            memory: may have windows of the data, and gets those that fit.
            folder: for features that take too much memory; None: they stay in memory all the same.
        """
        self.encoder, self.name, self.catalogs, self.config, self.device = encoder, name, catalogs, config, device
        self.bad_videos = bad_videos
        self._memory, self._folder = memory or WindowMemory(0), folder
        self._encoded: dict[tuple[str, int], EncodedSplit] = {}
        self._tokens: dict[tuple[str, str, TokenKind], EncodedTokens] = {}

    def split(self, split: str, videos: int | None = None) -> EncodedSplit:
        """A split as the encoder sees it, or at most `videos` of it, the same ones for a seed."""
        catalog = self._catalog(split, videos)
        key = split, len(catalog.table)
        if key not in self._encoded:
            place = FeaturePlace(self._folder, self._name(*key), self.encoder, catalog, self.config, self.device)
            read = self._memory.batches(key, catalog, self.config, self.bad_videos, (0, joined().size))
            seen = encode_split(self.encoder, catalog, self.config, self.device, self.bad_videos, read, place)
            self._encoded[key] = seen
        return self._encoded[key]

    def windows(self, split: str, videos: int | None = None) -> Iterator[Batch]:
        """The evaluation windows of a split in order, or of at most `videos` of it; read once where memory allows."""
        catalog = self._catalog(split, videos)
        return self._memory.batches((split, len(catalog.table)), catalog, self.config, self.bad_videos)

    def tokens(self, split: str, level: str, kind: TokenKind = "tokens") -> EncodedTokens:
        """The tokens of a level, or its units, of every view of a split; see `EncodedTokens`."""
        key = split, level, kind
        if key not in self._tokens:
            self._tokens[key] = EncodedTokens(self, split, level, kind, self._folder)
        return self._tokens[key]

    def drop_tokens(self, level: str) -> None:
        """Frees the memory that tokens of a level take; a file of them stays."""
        self._tokens = {key: tokens for key, tokens in self._tokens.items() if key[1] != level}

    def discard_files(self) -> None:
        """Deletes the files of features that were made or found: of an encoder that nobody will ask about again."""
        for encoded in self._encoded.values():
            if encoded.file is not None:
                encoded.file.unlink(missing_ok=True)

    def _catalog(self, split: str, videos: int | None) -> Catalog:
        catalog = self.catalogs[split]
        return catalog if videos is None else catalog.sample(min(videos, len(catalog.table)), self.config.seed)

    def _name(self, split: str, videos: int) -> str:
        part = "" if videos == len(self.catalogs[split].table) else f"-{videos}"
        return f"{self.name}-{split}{part}"
