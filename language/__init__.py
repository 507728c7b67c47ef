"""Captions as tensors: tokenising, frozen text encoders, and what they make of captions, kept on a disk."""
