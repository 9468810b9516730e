"""Wrapper of `mmfas vis uncertainty` for a source checkout."""

from mmfas.cli.vis.uncertainty import main

raise SystemExit(main())
