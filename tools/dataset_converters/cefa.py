"""Convert CASIA-CeFA: `python tools/dataset_converters/cefa.py SRC OUT`, as docs/en/datasets.md explains."""

import sys

from mmfas.cli.data.convert import main

if __name__ == '__main__':
    sys.exit(main(['cefa', *sys.argv[1:]]))
