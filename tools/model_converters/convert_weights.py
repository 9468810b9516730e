"""Wrapper of `mmfas weights convert` for a source checkout."""

from mmfas.cli.weights.convert import main

raise SystemExit(main())
