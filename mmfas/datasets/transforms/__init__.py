"""Transforms that treat the modalities of one sample alike."""
