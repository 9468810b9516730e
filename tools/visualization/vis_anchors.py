"""Wrapper of `mmfas vis anchors` for a source checkout."""

from mmfas.cli.vis.anchors import main

raise SystemExit(main())
