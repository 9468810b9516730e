"""Figures of scores; matplotlib is imported when the first one is drawn."""

from mmfas.visualization.method_plots import plot_pai_comparison
from mmfas.visualization.score_plots import plot_det, plot_histogram, plot_pai_bars, plot_roc, save_score_plots

__all__ = ['plot_det', 'plot_histogram', 'plot_pai_bars', 'plot_pai_comparison', 'plot_roc', 'save_score_plots']
