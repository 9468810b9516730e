"""Wrapper of `mmfas weights convert released_mmdg` for a source checkout."""

import sys

from mmfas.cli.weights.convert import main

raise SystemExit(main(['released_mmdg', *sys.argv[1:]]))
