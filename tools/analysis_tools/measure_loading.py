"""Wrapper of `mmfas.cli.measure_loading` for a source checkout."""

from mmfas.cli.measure_loading import main

raise SystemExit(main())
