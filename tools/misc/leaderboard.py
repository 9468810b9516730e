"""Wrapper of `mmfas scores leaderboard` for a source checkout."""

from mmfas.cli.scores.leaderboard import main

raise SystemExit(main())
