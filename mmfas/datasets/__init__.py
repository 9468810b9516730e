"""Data sets, transforms, samplers and the synthetic benchmark."""
