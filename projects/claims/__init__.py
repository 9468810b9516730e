"""Checkable claims of the papers, each as an experiment with two arms and a rule that was fixed beforehand."""
