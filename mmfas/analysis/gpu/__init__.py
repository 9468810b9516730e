"""Checks and measurements of a GPU, each section within a time of its own; `mmfas measure gpu` runs them."""
