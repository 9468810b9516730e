"""Wrapper of `mmfas.cli.vis_uncertainty` for a source checkout."""

from mmfas.cli.vis_uncertainty import main

raise SystemExit(main())
