"""`mmfas vis ...`: pictures of models and curves of training."""
