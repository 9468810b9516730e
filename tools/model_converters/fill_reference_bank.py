"""Wrapper of `mmfas weights bank` for a source checkout."""

from mmfas.cli.weights.bank import main

raise SystemExit(main())
