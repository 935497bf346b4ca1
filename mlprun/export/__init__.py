"""Trained networks as files that run elsewhere, and the model card."""
