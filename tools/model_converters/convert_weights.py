"""Wrapper of `mmfas.cli.convert_weights` for a source checkout."""

from mmfas.cli.convert_weights import main

raise SystemExit(main())
