"""SynthFAS: an embedded synthetic RGB + depth + NIR face anti-spoofing benchmark (a test bench, not real faces).

Nothing in here imports torch or mmengine; see `docs/en/synthfas.md` for the physics and its limits.
"""

from mmfas.synthfas.files.site_writer import Sites, render_sites
from mmfas.synthfas.files.writer import RenderReport, render_dataset
from mmfas.synthfas.plan.domains import DOMAINS, RENDERER_VERSION, RENDERER_VERSIONS, SPLITS, Domain, domains_of
from mmfas.synthfas.plan.plan import SIZES, Setting, Size, VideoPlan, plan_split
from mmfas.synthfas.plan.stress import PERTURBATIONS, PERTURBATIONS_VERSION, Stress, parse_stress
from mmfas.synthfas.render import Frame, render_video

#: Former names, for one release.
DIALS, DIALS_VERSION, Triple = PERTURBATIONS, PERTURBATIONS_VERSION, Frame

__all__ = [
    'DIALS',
    'DIALS_VERSION',
    'DOMAINS',
    'PERTURBATIONS',
    'PERTURBATIONS_VERSION',
    'RENDERER_VERSION',
    'RENDERER_VERSIONS',
    'SIZES',
    'SPLITS',
    'Domain',
    'Frame',
    'RenderReport',
    'Setting',
    'Sites',
    'Size',
    'Stress',
    'Triple',
    'VideoPlan',
    'domains_of',
    'parse_stress',
    'plan_split',
    'render_dataset',
    'render_sites',
    'render_video',
]
