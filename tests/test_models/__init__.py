"""Tests of `mmfas.models`."""
