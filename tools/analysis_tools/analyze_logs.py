"""Wrapper of `mmfas vis logs` for a source checkout."""

from mmfas.cli.vis.logs import main

raise SystemExit(main())
