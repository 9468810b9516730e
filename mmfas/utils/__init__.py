"""Helpers below every other room, independent of data, models and metrics."""
