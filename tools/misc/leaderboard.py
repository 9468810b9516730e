"""Wrapper of `mmfas.cli.leaderboard` for a source checkout."""

from mmfas.cli.leaderboard import main

raise SystemExit(main())
