"""`mmfas scores ...`: what score files say."""
