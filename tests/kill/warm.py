"""What the server imports from which the killed processes are forked, so that they lose no time before they work.

What only describes a run is made once, or not at all: the report of the machine, and the layout of config dumps.
"""

from __future__ import annotations

import functools
from importlib import import_module

import mmengine.runner.runner
from yapf.yapflib import yapf_api

for _name in (
    'matplotlib.backends.backend_agg',
    'matplotlib.figure',
    'mmpretrain.models',
    'torchvision',
    'mmfas.benchmark.jobs',
    'mmfas.cli.data.render',
    'mmfas.cli.train',
    'mmfas.config.check',
    'mmfas.datasets.conversion',
    'mmfas.datasets.face_crop',
    'mmfas.datasets.transforms',
    'mmfas.engine.hooks',
    'mmfas.models',
    'mmfas.synthfas',
):
    import_module(_name)

mmengine.runner.runner.collect_env = functools.cache(mmengine.runner.runner.collect_env)
mmengine.runner.runner.collect_env()
yapf_api.FormatCode = lambda text, **options: (text, True)
