"""Iterative Imagination: edit a picture with ComfyUI until a vision model finds that every rule is met."""

__version__ = "0.1.0"
