"""Render SynthFAS: `python tools/dataset_converters/render_synthfas.py OUT --size small`; see `--help`."""

import sys

from mmfas.cli.data.render import main

if __name__ == '__main__':
    sys.exit(main())
