"""Wrapper of `mmfas weights publish` for a source checkout."""

from mmfas.cli.weights.publish import main

raise SystemExit(main())
