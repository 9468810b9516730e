"""How hard SynthFAS is, and what its perturbations do."""
