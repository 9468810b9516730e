"""`mmfas measure ...`: speed, size, and whether a score depends on its batch."""
