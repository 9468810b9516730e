"""Wrapper of `mmfas.cli.vis_experts` for a source checkout."""

from mmfas.cli.vis_experts import main

raise SystemExit(main())
