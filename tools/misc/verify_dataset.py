"""Wrapper of `mmfas data verify` for a source checkout."""

from mmfas.cli.data.verify import main

raise SystemExit(main())
