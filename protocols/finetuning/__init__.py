"""Fine-tuning an encoder on labels: what `protocols/finetune.py` is made of."""
