"""The benchmark runner: from protocols, splits and seeds to trainings, records of their scores, and tables."""
