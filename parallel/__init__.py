"""Several processes that train one model, a GPU each: who they are, what they share of a batch, and how they end.

`config.errors` aside, this imports nothing of ours, and all may import it. In one process everything here does nothing.
"""
