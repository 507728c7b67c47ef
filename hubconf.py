"""For torch.hub: `torch.hub.load(FOLDER_OF_THIS_FILE, "encoder", "outputs/quickstart", source="local")`."""

from tasks.pretrained import TrainedEncoder, load_encoder

dependencies = ["torch", "torchvision", "av", "cv2", "einops", "numpy", "pandas", "pydantic", "safetensors", "yaml"]


def encoder(run: str) -> TrainedEncoder:
    """The encoder of a run; `run` is its folder, or its `checkpoints/encoder.safetensors`."""
    return load_encoder(run)
