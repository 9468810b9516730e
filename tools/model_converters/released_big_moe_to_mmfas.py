"""Wrapper of `mmfas weights convert released_big_moe` for a source checkout."""

import sys

from mmfas.cli.weights.convert import main

raise SystemExit(main(['released_big_moe', *sys.argv[1:]]))
