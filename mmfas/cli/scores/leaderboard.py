"""Write the page of published numbers from the file that holds them."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('out', help='Markdown file to write, such as docs/en/leaderboard.md')
    parser.add_argument('--published', help='YAML file of numbers; that of mmfas if left out')


@command()
def main(args: argparse.Namespace) -> int:
    """Write the page; returns 0, or 1 if a file cannot be used."""
    from mmfas.evaluation import read_published
    from mmfas.evaluation.leaderboard import leaderboard_page
    from mmfas.utils.files import write_atomically

    published = read_published(args.published) if args.published else read_published()
    write_atomically(args.out, leaderboard_page(published))
    print(f'{args.out}: {len(published.methods)} methods')
    return 0
