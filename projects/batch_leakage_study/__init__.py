"""What methods gain from the other samples of a batch."""
