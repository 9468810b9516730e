"""Rules that turn several gradients into one."""
