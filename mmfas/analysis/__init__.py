"""Looking at models and measuring them: speed, size, experts, uncertainty, anchors, dependence on the batch."""
