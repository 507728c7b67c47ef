"""Masked autoencoder of an early frame, a later one and a caption."""

from __future__ import annotations

from tasks.language_masked import LanguageMaskedTask


class DualTask(LanguageMaskedTask):
    """V-Dual (Karamcheti et al., 2023, arXiv 2302.12766): both frames are hidden at the same places.

    Everything is as in V-Cond but for the number of frames, which the window has: a learned vector for either frame in
    the encoder and in the decoder, one mask, and the mean of the two frames' losses, either of which is logged.
    """
