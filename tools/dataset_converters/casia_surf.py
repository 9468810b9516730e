"""Convert CASIA-SURF: `python tools/dataset_converters/casia_surf.py SRC OUT`, as docs/en/datasets.md explains."""

import sys

from mmfas.cli.data.convert import main

if __name__ == '__main__':
    sys.exit(main(['casia_surf', *sys.argv[1:]]))
