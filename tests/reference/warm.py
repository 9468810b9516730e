"""What servers import from which the processes of tests are forked, so that they lose no time before they work.

What only describes a run is made once, or not at all: the report of the machine, figures, the layout of configs.
"""

from __future__ import annotations

import functools
from importlib import import_module

import mmengine.runner.runner
from quick_engine import leave_out_looks

for _name in (
    'matplotlib.backends.backend_agg',
    'matplotlib.pyplot',
    'mmpretrain.models',
    'torchvision',
    'mmfas.apis.testing',
    'mmfas.benchmark.jobs',
    'mmfas.cli.data.render',
    'mmfas.cli.train',
    'mmfas.config.check',
    'mmfas.datasets.conversion',
    'mmfas.datasets.face_crop',
    'mmfas.datasets.transforms',
    'mmfas.engine.hooks',
    'mmfas.evaluation.metrics',
    'mmfas.models',
    'mmfas.synthfas',
    'mmfas.visualization',
):
    import_module(_name)

mmengine.runner.runner.collect_env = functools.cache(mmengine.runner.runner.collect_env)
mmengine.runner.runner.collect_env()
leave_out_looks()
