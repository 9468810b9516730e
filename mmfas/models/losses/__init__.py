"""Losses that heads can be given."""
