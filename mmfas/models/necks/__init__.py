"""Fusion necks: where the modalities meet."""
