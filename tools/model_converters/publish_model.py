"""Wrapper of `mmfas.cli.publish_model` for a source checkout."""

from mmfas.cli.publish_model import main

raise SystemExit(main())
