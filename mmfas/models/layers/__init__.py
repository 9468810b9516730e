"""Layers that two methods share."""
