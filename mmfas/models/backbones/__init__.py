"""Trunks that turn images of several modalities into streams, block by block."""
