"""Contracts: what every registered part must do, tested by walking the registries."""
