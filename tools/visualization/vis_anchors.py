"""Wrapper of `mmfas.cli.vis_anchors` for a source checkout."""

from mmfas.cli.vis_anchors import main

raise SystemExit(main())
