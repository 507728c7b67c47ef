"""A frozen text encoder of Hugging Face's transformers: from captions to token numbers and hidden states.

Nothing is ever downloaded: an encoder is a local folder, or a name that the local cache of transformers holds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from config.errors import InputError
from language.tiny_encoder import make_tiny

TINY = "tiny"
_INSTALL = "the text encoder needs the package transformers; install it: pip install transformers"


def require_transformers() -> None:
    """InputError where the package is not installed; imports nothing."""
    if importlib.util.find_spec("transformers") is None:
        raise InputError(_INSTALL)


@dataclass(frozen=True)
class Encoded:
    """What an encoder makes of one caption of n tokens, [CLS] and [SEP] included."""

    ids_N: NDArray[np.int32]
    states_ND: NDArray[np.float16]
    """The last hidden states."""


class TextEncoder:
    """A tokenizer and a frozen model.

    Captions are encoded one by one and without padding, so that what becomes of one depends on nothing else.

    Args:
        name: `tiny`, a folder, or a name in the local cache.
        max_tokens: tokens of a caption, [CLS] and [SEP] included; longer ones are cut.

    Raises:
        InputError: transformers is not installed, or there is no such encoder on this machine.
    """

    def __init__(self, name: str, max_tokens: int) -> None:
        require_transformers()
        self.name, self.max_tokens = name, max_tokens
        self.tokenizer, self.model = make_tiny() if name == TINY else _local(name)
        self.model.eval().requires_grad_(False)
        for token in ("cls_token_id", "sep_token_id", "pad_token_id"):
            if getattr(self.tokenizer, token) is None or not hasattr(self.model, "embeddings"):
                raise InputError(f"{name} is not an encoder like BERT, with [CLS], [SEP] and [PAD]; name one that is")
        positions = getattr(self.model.config, "max_position_embeddings", max_tokens)
        if max_tokens > positions:
            raise InputError(f"{name} reads {positions} tokens at most, not {max_tokens}; lower text.max_tokens")
        self.dim = int(self.model.config.hidden_size)
        self.vocabulary = int(self.model.config.vocab_size)
        self.pad, self.cls = int(self.tokenizer.pad_token_id), int(self.tokenizer.cls_token_id)
        self.fingerprint = _fingerprint(self.tokenizer, self.model)

    def encode(self, caption: str) -> Encoded:
        """The tokens of a caption and their states; of an empty caption, of [CLS] alone."""
        ids = [self.cls]
        if caption:
            ids = self.tokenizer(caption, truncation=True, max_length=self.max_tokens)["input_ids"]
        ids_1N = torch.tensor([ids])
        with torch.inference_mode():
            states_ND = self.model(input_ids=ids_1N, attention_mask=torch.ones_like(ids_1N)).last_hidden_state[0]
        return Encoded(np.array(ids, np.int32), states_ND.float().numpy().astype(np.float16))

    @torch.no_grad()
    def embed(self, ids_BL: Tensor) -> Tensor:
        """The model's own embeddings of tokens, position included, before any token sees another: [B, L, dim]."""
        embedded_BLD: Tensor = self.model.embeddings(input_ids=ids_BL.cpu())
        return embedded_BLD.float()


def _local(name: str) -> tuple[Any, Any]:
    """The tokenizer and the model of a folder, or of the cache."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # it warns when loader processes are forked
    from transformers import AutoModel, AutoTokenizer, logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=True)
        model = AutoModel.from_pretrained(name, local_files_only=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"text.encoder: {name} is no text encoder on this machine, and nothing is downloaded; name a folder with "
            f"config.json, weights and tokenizer, a model in the local cache of transformers, or {TINY}"
        ) from error
    return tokenizer, model


def _fingerprint(tokenizer: Any, model: Any) -> str:
    """What tells encoders apart: of all weights and of the vocabulary, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for word, number in sorted(tokenizer.get_vocab().items(), key=lambda item: (item[1], item[0])):
        digest.update(f"{number} {word}\n".encode())
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_texts(captions: Sequence[str]) -> None:
    """InputError where captions are not texts."""
    for caption in captions:
        if not isinstance(caption, str):
            raise InputError(f"captions: expected texts, got a {type(caption).__name__}")
