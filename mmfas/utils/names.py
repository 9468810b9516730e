"""Names as people see them: of samples, persons, domains and attacks, whatever program wrote them."""

from __future__ import annotations

import unicodedata

#: Categories of characters that no screen shows: format (zero width, direction, soft hyphen), control, line ends.
_INVISIBLE = frozenset(('Cf', 'Cc', 'Zl', 'Zp'))
#: Further characters without width: variation selectors, a joiner, and fillers of Hangul and Khmer.
_NO_WIDTH = frozenset((*map(chr, range(0xFE00, 0xFE10)), *'\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0'))


def plain_name(text: str) -> str:
    """Return a name without what cannot be seen, so that names that look alike are one.

    Blanks at both ends and invisible characters are left out, every kind of blank becomes a plain one, and letters
    with accents are composed (NFC). Names of visible ASCII are returned as they are, but for blanks around them.

    Args:
        text: The name.

    >>> plain_name(' anna\\u200b'), plain_name('Zoe\\u0308') == 'Zo\\u00eb', plain_name('a\\u00a0b.png')
    ('anna', True, 'a b.png')
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    visible = (' ' if char == '\t' or unicodedata.category(char) == 'Zs' else char for char in text)
    return unicodedata.normalize('NFC', ''.join(char for char in visible if not _is_invisible(char))).strip()


def _is_invisible(char: str) -> bool:
    """Tell whether a character takes no place on a screen."""
    return char in _NO_WIDTH or unicodedata.category(char) in _INVISIBLE
