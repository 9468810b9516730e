"""Tests of what takes a trained model to a verdict."""
