"""Live people: subjects, heads and bodies."""
