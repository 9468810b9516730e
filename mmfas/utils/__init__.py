"""Helpers below every other room: they know nothing of data, models or metrics."""
