"""Wrapper of `mmfas vis experts` for a source checkout."""

from mmfas.cli.vis.experts import main

raise SystemExit(main())
