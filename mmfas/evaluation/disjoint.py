"""Scores that fix a threshold must not be of test samples."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Hashable, Iterable

from mmfas.evaluation.score_table import ScoreTable
from mmfas.utils.errors import InputError
from mmfas.utils.file_identity import FileIdentity
from mmfas.utils.names import plain_name

#: What an id has whose normal form is another text: an absolute path, `\\`, `//`, or parts `.` and `..`.
_ODD = re.compile(r'^/|^\w:|\\|//|\./|/\.|/$|^\.\.?$', re.MULTILINE)


def check_disjoint(test: ScoreTable, dev: ScoreTable, name: str = 'dev') -> list[str]:
    """Refuse test samples among the scores that fix a threshold.

    Args:
        test: Test scores.
        dev: Scores that fix it.
        name: What these are called: `'dev'` or `'site'`.

    Returns:
        A note if subjects are in both; else nothing.

    Raises:
        ValueError: If samples are in both.
    """
    identity = FileIdentity()
    in_dev = set(zip(dev.domain.tolist(), _plain_ids(dev, identity)))
    names = zip(test.domain.tolist(), _plain_ids(test, identity), test.sample_id.tolist())
    shared = sorted({(domain, plain): (domain, sample) for domain, plain, sample in names
                     if (domain, plain) in in_dev}.values())  # fmt: skip
    if shared:
        some = ', '.join(f"'{sample}' of domain '{domain}'" for domain, sample in shared[:3])
        raise InputError(
            f'{len(shared)} samples are in both {name} and test, among them {some}; a threshold chosen on test '
            f'samples is an oracle. Give {name} scores of other samples, or leave them out for oracle values'
        )
    people = [set(zip(table.domain.tolist(), table.subject.tolist())) for table in (test, dev)]
    common = sum(1 for _, subject in people[0] & people[1] if subject)
    return [f'{common} subjects are in both {name} and test.'] if common else []


def _plain_ids(table: ScoreTable, identity: FileIdentity) -> Iterable[Hashable]:
    """Return the normal forms of the ids of a table."""
    names = table.sample_id.tolist()
    return (_plain(name, identity) for name in names) if _ODD.search('\n'.join(names)) else names


def _plain(sample_id: str, identity: FileIdentity) -> Hashable:
    """Return the normal form of an id, which often is a path: without `./`, `a/../`, `//`, `\\`, invisible marks.

    Links of an absolute path are followed; those of a relative one are not, since its base folder is unknown.
    """
    if os.path.isabs(sample_id):
        return identity.of(sample_id)
    return posixpath.normpath(plain_name(sample_id).replace('\\', '/'))
