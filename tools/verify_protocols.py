"""Wrapper of `mmfas data protocols` for a source checkout."""

from mmfas.cli.data.protocols import main

raise SystemExit(main())
