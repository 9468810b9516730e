"""Convert CASIA-SURF: `python tools/dataset_converters/casia_surf.py SRC OUT`, as docs/en/datasets.md explains."""

import sys

from mmfas.cli.convert_casia_surf import main

if __name__ == '__main__':
    sys.exit(main())
