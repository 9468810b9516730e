"""An example of a project that adds a head with a loss of its own."""

from projects.example_head.cosine_margin_head import CosineMarginHead, MarginCrossEntropyLoss

__all__ = ['CosineMarginHead', 'MarginCrossEntropyLoss']
