"""How `--cfg-options key=value ...` are read from the command line."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from typing import Any

from mmfas.utils.errors import InputError


class ConfigOptions(argparse.Action):
    """mmengine's `DictAction` with clear refusals, and with the spaces of a value kept (it takes them out).

    >>> [ConfigOptions.parse(text) for text in ('my data/faces', "['a b.txt', 'c.txt']", '1,2')]
    ['my data/faces', ['a b.txt', 'c.txt'], [1, 2]]
    """

    @staticmethod
    def parse(text: str) -> Any:
        """Read one value.

        Args:
            text: A number, bool, None, text, or a list or tuple of them.

        Raises:
            ValueError: If brackets are not balanced.
        """
        if ' ' in text and text[0] in '[(' and ('"' in text or "'" in text):
            try:
                return ast.literal_eval(text)
            except (ValueError, SyntaxError):
                pass  # not Python: mmengine's own short form
        if ' ' in text and not any(char in text for char in '[](),'):
            return text.strip('\'"')
        # Not imported above: `--help` and completion build a parser with this action and must not import torch.
        from mmengine.config import DictAction

        try:
            return DictAction._parse_iterable(text)
        except AssertionError as error:
            raise InputError(f"brackets do not match in '{text}'") from error

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add the pairs to the dictionary of the options given before."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for item in values or ():
            key, separator, text = item.partition('=')
            if not (key and separator):
                parser.error(f"{option_string}: '{item}' is not key=value; quote a value with spaces as a whole")
            try:
                options[key] = self.parse(text)
            except ValueError as error:
                parser.error(f'{option_string} {key}: {error}')
        setattr(namespace, self.dest, options)


def add_config_options(parser: argparse.ArgumentParser, text: str = 'override config values: key=value') -> None:
    """Declare `--cfg-options`.

    Args:
        parser: Parser to extend.
        text: What `--help` says.
    """
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help=text)
