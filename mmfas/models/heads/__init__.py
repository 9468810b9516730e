"""Heads: from fused features to scores and losses."""
