"""Weights of other projects in the names of ours: converters and released checkpoints."""
