"""Make the committed golden vectors from the published ones: `shrink_golden.py PUBLISHED [NAME...]`.

Gradients and outputs above 8 kB become sketches (see `golden_vectors.py`), everything else stays as it was.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import torch
from golden_vectors import GOLDEN, Sketch, write_vectors

#: Arrays that only say what comes out; parameters, inputs and cotangents say what goes in, and stay whole.
OUTPUTS = re.compile(r'(?:\w+\.)*(?:grad_in|grad_param|out)\..+|(?:missing_)?patch_tokens|states\.\d+')
LEAST_BYTES = 8000
#: Files whose gradients have rounding errors of a third of the tolerance, which would be above it in sums.
WHOLE = {'flip_mcl'}
#: An array whose parts are compared at tolerances of their own, and so are kept one by one.
BY_PART = 'states'


def shrink(published: Path, target: Path) -> None:
    """Write one file.

    Args:
        published: File with whole arrays.
        target: File to write.
    """
    arrays, kept = {}, {}
    with np.load(published) as file:
        for name, array in file.items():
            arrays |= {f'{name}.{i}': part for i, part in enumerate(array)} if name == BY_PART else {name: array}
    for name, array in arrays.items():
        if array.nbytes > LEAST_BYTES and OUTPUTS.fullmatch(name) and published.stem not in WHOLE:
            sketch = Sketch.of(name, torch.from_numpy(array))
            kept[sketch.key] = sketch.kept.numpy()
        else:
            kept[name] = array
    write_vectors(kept, target)


if __name__ == '__main__':
    folder, *names = sys.argv[1:]
    for name in names or [path.name.partition('.')[0] for path in sorted(GOLDEN.glob('*.npz.xz'))]:
        given, committed = Path(folder, f'{name}.npz'), GOLDEN / f'{name}.npz.xz'
        shrink(given, committed)
        print(f'{name}: {given.stat().st_size:,} -> {committed.stat().st_size:,} bytes')
