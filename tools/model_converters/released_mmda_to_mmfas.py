"""Wrapper of `mmfas.cli.released_mmda_to_mmfas` for a source checkout."""

from mmfas.cli.released_mmda_to_mmfas import main

raise SystemExit(main())
