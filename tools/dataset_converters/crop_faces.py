"""Crop faces: `python tools/dataset_converters/crop_faces.py IN OUT`; see `--help`."""

import sys

from mmfas.cli.data.crop import main

if __name__ == '__main__':
    sys.exit(main())
