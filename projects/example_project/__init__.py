"""An example of a project that lives outside mmfas and adds a part to it."""

from projects.example_project.gated_mean_neck import GatedMeanNeck

__all__ = ['GatedMeanNeck']
