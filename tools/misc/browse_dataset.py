"""Wrapper of `mmfas data browse` for a source checkout."""

from mmfas.cli.data.browse import main

raise SystemExit(main())
