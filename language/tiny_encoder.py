"""A text encoder that needs no download: DistilBERT's architecture, small, with random weights.

What a frozen transformer of random weights makes of a token depends on the token, on its place and a little on the
others: enough to tell captions of a few words apart, and no more. For trying things out, and for tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from runs.process.seeds import torch_generator

DIM = 64
_VOCABULARY = Path(__file__).with_name("tiny_vocabulary.txt")  # whole words of captions, and letters for all others


def make_tiny() -> tuple[Any, Any]:
    """The tokenizer and the model, the same ones every time."""
    from transformers import BertTokenizer, DistilBertConfig, DistilBertModel

    words = _VOCABULARY.read_text(encoding="utf-8").splitlines()
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    config = DistilBertConfig(
        vocab_size=len(words), dim=DIM, hidden_dim=2 * DIM, n_layers=2, n_heads=4, max_position_embeddings=128
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DistilBertModel(config)
    # Of a size at which attention tells tokens apart; the class's own 0.02 is meant for training.
    generator = torch_generator(0)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=generator)
        elif isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, generator=generator)
    return tokenizer, model
