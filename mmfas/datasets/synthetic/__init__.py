"""SynthFAS: an embedded synthetic RGB + depth + NIR face anti-spoofing benchmark (a test bench, not real faces).

Nothing in here imports torch or mmengine; see ``docs/en/synthfas.md`` for the physics and its limits.
"""

from .domains import DOMAINS, RENDERER_VERSION, RENDERER_VERSIONS, SPLITS, Domain, domains_of
from .plan import SIZES, Setting, Size, VideoPlan, plan_split
from .render import Triple, render_video
from .stress import DIALS, DIALS_VERSION, Stress, parse_stress
from .writer import RenderReport, render_dataset

__all__ = [
    'DIALS',
    'DIALS_VERSION',
    'DOMAINS',
    'RENDERER_VERSION',
    'RENDERER_VERSIONS',
    'SIZES',
    'SPLITS',
    'Domain',
    'RenderReport',
    'Setting',
    'Size',
    'Stress',
    'Triple',
    'VideoPlan',
    'domains_of',
    'parse_stress',
    'plan_split',
    'render_dataset',
    'render_video',
]
