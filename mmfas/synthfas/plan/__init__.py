"""What is rendered: domains, splits, videos, perturbations."""
