"""What happens around a step: hooks, optimizer wrappers, gradient modulators."""
