"""What the settings of both languages have in common, and the link from a page to its twin.

A page and its twin have the same path below `docs/en` and `docs/zh_CN`, and `make -C docs` builds the languages
side by side, so the link is relative. `tests/test_docs/test_twins.py` holds twins to each other.
"""

import os
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

DOCS = Path(__file__).resolve().parent
REPO = DOCS.parent
sys.path.insert(0, str(REPO))

from mmfas import __version__  # noqa: E402

#: Folder of a language -> the other folder, the tag of its language, the name of it.
TWINS = {'en': ('zh_CN', 'zh-CN', '简体中文'), 'zh_CN': ('en', 'en', 'English')}
#: Punctuation, ideographs and full-width forms: a line break between two of them must not become a space.
WIDE = re.compile('[\u3000-\u303f\u3400-\u9fff\uff00-\uffef\u201c\u201d\u2014\u2026]')
#: Commas, full stops, colons and brackets, which bring a space of their own.
AFTER, BEFORE = '\u3001\u3002\uff0c\uff1a\uff1b\uff09', '\uff08'


def settings(language: str) -> dict:
    """Return the variables that `conf.py` of a folder (`en` or `zh_CN`) shares with the other one."""
    return dict(
        project='mmfas',
        author='The mmfas contributors',
        copyright='2026, The mmfas contributors',
        version=__version__,
        release=__version__,
        language=language,
        extensions=['myst_parser', 'sphinx.ext.mathjax'],
        exclude_patterns=['_build', '_templates'],
        source_suffix={'.rst': 'restructuredtext', '.md': 'markdown'},
        myst_enable_extensions=['attrs_block', 'colon_fence', 'deflist', 'dollarmath'],
        myst_heading_anchors=3,
        html_theme='furo',
        html_title=f'mmfas {__version__}',
        html_static_path=[str(DOCS / 'en' / '_static')],
        html_css_files=['mmfas.css'],
        html_show_sphinx=False,
    )


def link_twin(app, pagename, templatename, context, doctree) -> None:
    """Put a link to the same page in the other language on top of a page that has one."""
    folder, tag, name = TWINS[app.srcdir.name]
    twin = DOCS / folder / pagename
    if doctree is None or not any(twin.with_suffix(end).is_file() for end in ('.md', '.rst')):
        return
    address = os.path.relpath(Path('..', folder, app.builder.get_target_uri(pagename)), Path(pagename).parent)
    context['body'] = (
        f'<p class="twin"><a href="{address}" hreflang="{tag}" lang="{tag}" rel="alternate">{name}</a></p>\n'
        + context['body']
    )


def link_english(app, doctree) -> None:
    """Lead links such as `../en/leaderboard.md` to the built English page, for those that have no twin."""
    here = DOCS / app.srcdir.name / Path(app.env.docname).parent
    for node in [*doctree.findall(addnodes.pending_xref), *doctree.findall(addnodes.download_reference)]:
        target = Path(os.path.normpath(here / node['reftarget']))
        other = DOCS / TWINS[app.srcdir.name][0]
        if not target.is_relative_to(other):
            continue
        page = os.path.relpath(target.with_suffix('.html'), here)
        anchor = f'#{node["reftargetid"]}' if node.get('reftargetid') else ''
        node.replace_self(nodes.reference('', '', *node.children, refuri=page + anchor))


def join_lines(app, doctree) -> None:
    """Take away line breaks between ideographs, which browsers show as spaces."""
    for text in list(doctree.findall(nodes.Text)):
        place = text.parent.index(text)
        if str(text) != '\n' or not 0 < place < len(text.parent) - 1:  # MyST makes a node of a break
            continue
        end, start = text.parent[place - 1].astext()[-1:], text.parent[place + 1].astext()[:1]
        if (end and end in AFTER) or (start and start in BEFORE) or (WIDE.match(end) and WIDE.match(start)):
            text.parent.replace(text, nodes.Text(''))


def connect(app) -> None:
    """Connect the handlers above; called by `setup` of both settings."""
    app.connect('html-page-context', link_twin)
    # Ahead of the collector that copies the files of download links.
    app.connect('doctree-read', link_english, priority=100)
    if app.srcdir.name == 'zh_CN':
        app.connect('doctree-read', join_lines)
