"""Workflows and forms promise only what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
GITHUB = REPO / '.github'
FORMS = sorted(set((GITHUB / 'ISSUE_TEMPLATE').glob('*.yml')) - {GITHUB / 'ISSUE_TEMPLATE' / 'config.yml'})


def read(path: Path) -> dict[str, Any]:
    """Read a YAML file; `on` stays a word."""
    content = yaml.load(path.read_text(encoding='utf-8'), yaml.BaseLoader)
    assert isinstance(content, dict)
    return content


def commands(workflow: str) -> list[str]:
    """Return what the steps of a workflow run."""
    jobs = read(GITHUB / 'workflows' / workflow)['jobs'].values()
    return [step['run'] for job in jobs for step in job['steps'] if 'run' in step]


def test_ci_covers_versions_stacks_and_systems() -> None:
    jobs = read(GITHUB / 'workflows' / 'ci.yml')['jobs']
    assert 'bash .ci/run' in [step.get('run') for step in jobs['ci']['steps']]
    assert jobs['stacks']['strategy']['matrix'] == {'python': ['3.10', '3.13'], 'stack': ['onedl', 'openmmlab']}
    assert jobs['systems']['strategy']['matrix'] == {'os': ['macos-latest', 'windows-latest']}
    assert all('timeout-minutes' in job for job in jobs.values())


@pytest.mark.parametrize('workflow', ['ci.yml', 'release.yml'])
def test_commands_of_workflows_name_files_extras_and_modules_that_exist(workflow: str) -> None:
    known = {path.stem for path in (REPO / 'requirements').glob('*.txt')} | {'all'}
    for command in commands(workflow):
        for path in re.findall(r'(?<![\w/])(?:tests|tools|docker|mmfas|\.ci)/[\w./]*[\w]', command):
            assert (REPO / path).exists(), command
        for extras in re.findall(r'\.\[([\w,]+)\]', command):
            assert set(extras.split(',')) <= known, command
        for modules in re.findall(r'-c "import ([\w., ]+)"', command):
            for module in modules.split(', '):
                assert (REPO / module.replace('.', '/') / '__init__.py').is_file(), command


def test_a_release_is_built_checked_and_published_without_a_secret() -> None:
    text = (GITHUB / 'workflows' / 'release.yml').read_text(encoding='utf-8')
    jobs = read(GITHUB / 'workflows' / 'release.yml')['jobs']
    joined = commands('release.yml')
    assert joined.index('python -m build') < joined.index('python -m twine check --strict dist/*')
    assert jobs['publish']['needs'] == 'build'
    assert jobs['publish']['permissions'] == {'id-token': 'write'}
    assert 'secrets.' not in text and 'password' not in text


@pytest.mark.parametrize('form', FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_complete(form: Path) -> None:
    content = read(form)
    assert {'name', 'description', 'body'} <= content.keys()
    names = [field['id'] for field in content['body']]
    assert len(names) == len(set(names))
    assert all(field['attributes']['label'] for field in content['body'])
    assert any(field.get('validations', {}).get('required') == 'true' for field in content['body'])


def test_there_is_a_form_for_each_kind_and_pages_say_how_to_report() -> None:
    assert [form.stem for form in FORMS] == ['bug', 'feature', 'number']
    for name in ('SECURITY.md', 'CODE_OF_CONDUCT.md', '.github/PULL_REQUEST_TEMPLATE.md'):
        for link in re.findall(r'\]\((?!https?:)([^)#]+)', (REPO / name).read_text(encoding='utf-8')):
            assert (REPO / name).parent.joinpath(link).exists(), (name, link)


def test_dependabot_and_read_the_docs_name_what_exists() -> None:
    updates = {
        entry['package-ecosystem']: entry['directory'] for entry in read(GITHUB / 'dependabot.yml')['updates']
    }
    assert set(updates) == {'pip', 'github-actions', 'docker'}
    assert all((REPO / folder.lstrip('/')).is_dir() for folder in updates.values())
    pages = read(REPO / '.readthedocs.yaml')
    commands = pages['build']['jobs']['build']['html']
    for language in ('en', 'zh_CN'):  # a page links to its twin beside it
        (command,) = [line for line in commands if f' docs/{language} ' in line]
        assert command.endswith(f'/html/{language}"') and (REPO / 'docs' / language / 'conf.py').is_file()
    (install,) = pages['python']['install']
    assert all((REPO / 'requirements' / f'{name}.txt').is_file() for name in install['extra_requirements'])
