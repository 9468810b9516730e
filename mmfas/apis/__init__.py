"""Functions that join the rooms: train, test, inspect."""
