"""`mmfas scores ...`: error rates and plots from score files."""
