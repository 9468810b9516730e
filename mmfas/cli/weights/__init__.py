"""`mmfas weights ...`: make files of weights for a model, or from one."""
