"""Files that cannot be read, inherit themselves or end the process give one sentence."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from mmfas.config.files import MAX_BYTES
from mmfas.config.reading import ConfigError, read_config

pytestmark = pytest.mark.engine


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(str(path))
    text = str(caught.value)
    assert str(path) in text
    assert '\n' not in text
    return text


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ('name', 'content', 'expected'),
    [
        ('a.py', b'\xef\xbb\xbflr = 1\n', 'begins with a byte order mark'),
        ('a.json', b'\xef\xbb\xbf{}', 'begins with a byte order mark'),
        ('a.py', 'lr = 1\n'.encode('utf-16'), 'begins with a byte order mark'),
        ('a.py', b"lr = 1\nname = 'caf\xe9'\n", 'line 2: byte 0xe9 is not UTF-8'),
        ('a.yaml', b'name: \xff\n', 'is not UTF-8'),
        ('a.py', b'lr = 1\n\nlr = 2\0\n', 'line 3: a NUL byte'),
        ('a.py', b'x = ' + b'[' * 5000, 'line 1: too many nested parentheses'),
        ('a.py', b'x = ' + b'-' * 100_000 + b'1', 'nested too deeply|recursion|too complex'),
        ('a.json', b'[' * 5000, 'is nested too deeply'),
        ('a.json', b'{"a": ' * 5000, 'is nested too deeply'),
        ('a.yaml', b'a: ' + b'[' * 5000, 'is nested too deeply'),
        ('a.json', b'{"lr": ' + b'7' * 6000 + b'}', 'has a number that cannot be read'),
        ('a.yml', b'lr: ' + b'7' * 6000, 'has a value that cannot be read'),
        ('a.py', b'lr = ' + b'7' * 6000, 'line 1: Exceeds the limit'),
        ('a.json', '{"model": {"type": 1, "dim": 2, "type": 3}}', "has the key 'type' twice"),
        ('a.json', '{"lr": 1, "lr": 2}', "has the key 'lr' twice"),
        ('a.yaml', 'model:\n  dim: 1\n  dim: 2\n', "line 2: the key 'dim' occurs twice"),
        ('a.yaml', 'a: !!python/object/apply:os.system ["touch i_ran"]', 'makes an object, which could run code'),
        ('a.yaml', 'a: !!python/name:os.system', 'makes an object'),
        ('a.yaml', 'a: &a [1, *a]', 'refers to itself'),
        ('a.yaml', 'a: 2024-13-45\n', 'cannot be read'),
        ('a.yaml', '- 1\n', 'must hold one mapping'),
        ('a.json', '[1]', 'must hold one object'),
        ('a.json', '{"a": }', 'line 1: Expecting value'),
        ('a.toml', 'a = 1', 'is not a config: its name must end in'),
        ('a.py', 'import sys\nsys.exit(0)', r'it ends the process \(sys.exit\(0\)\)'),
        ('a.py', 'raise SystemExit', 'it ends the process'),
        ('a.py', 'class Odd(BaseException): pass\nraise Odd("why")', 'Odd: why'),
        ('a.py', 'raise GeneratorExit', 'GeneratorExit'),
        ('a.py', 'a = {}\na["a"] = a', 'hold themselves'),
        ('a.py', '_base_ = 5', '_base_ must be a path or a list of paths, got 5'),
        ('a.py', '_base_ = [None]', '_base_ must be a path or a list of paths, got None'),
        (
            'a.py',
            "work_dir = '{{$WORK_FOLDER}}/x'",
            r'work_dir: \{\{\$WORK_FOLDER\}\} is replaced by nothing; write',
        ),
        ('a.yaml', "model: {trunk: ['{{ $WORK_FOLDER }}']}", r'model.trunk\[0\]: .* is replaced by nothing'),
        ('a.py', "work_dir = '{{$WORK_FOLDER:}}/x'", 'WORK_FOLDER'),
    ],
)
def test_one_sentence_says_what_is_wrong(tmp_path: Path, name: str, content: bytes | str, expected: str) -> None:
    assert re.search(expected, refusal(written(tmp_path, name, content)))
    assert not Path('i_ran').exists()


def test_aliases_that_explode_are_refused_at_once(tmp_path: Path) -> None:
    lines = ['a0: &a0 [1, 1]'] + [f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 9)}]' for i in range(1, 12)]
    assert 'once its aliases are written out' in refusal(written(tmp_path, 'a.yaml', '\n'.join(lines)))


def test_huge_files_folders_and_unreadable_files(tmp_path: Path) -> None:
    assert f'at most {MAX_BYTES}' in refusal(written(tmp_path, 'large.py', b'#' * (MAX_BYTES + 1)))
    (tmp_path / 'folder.py').mkdir()
    assert 'is not a file' in refusal(tmp_path / 'folder.py')
    os.mkfifo(tmp_path / 'pipe.py')
    assert 'is not a file' in refusal(tmp_path / 'pipe.py')
    (tmp_path / 'a.py').write_text("_base_ = './folder.py'")
    assert "folder.py', which does not exist or is not a file" in refusal(tmp_path / 'a.py')
    if os.geteuid() != 0:
        locked = written(tmp_path, 'locked.py', 'lr = 1')
        locked.chmod(0)
        assert 'cannot be read: Permission denied' in refusal(locked)


def test_circles_are_named(tmp_path: Path) -> None:
    written(tmp_path, 'a.py', "_base_ = './b.py'")
    written(tmp_path, 'b.py', "_base_ = ['./{{fileBasenameNoExtension}}_next.yaml']")
    written(tmp_path, 'b_next.yaml', "_base_: './a.py'")
    assert '_base_ goes in a circle: a.py -> b.py -> b_next.yaml -> a.py;' in refusal(tmp_path / 'a.py')
    written(tmp_path, 'self.json', json.dumps({'_base_': './self.json'}))
    assert '_base_ goes in a circle: self.json -> self.json;' in refusal(tmp_path / 'self.json')
    (tmp_path / 'link.py').symlink_to(tmp_path / 'a.py')
    assert 'goes in a circle: a.py -> b.py -> b_next.yaml -> a.py' in refusal(tmp_path / 'link.py')
    written(tmp_path, 'c.py', 'from mmengine.config import read_base\nwith read_base():\n    from .d import *\n')
    written(tmp_path, 'd.py', 'from mmengine.config import read_base\nwith read_base():\n    from .c import *\n')
    assert 'goes in a circle: c.py -> d.py -> c.py;' in refusal(tmp_path / 'c.py')


def test_a_file_that_two_others_inherit_is_no_circle(tmp_path: Path) -> None:
    written(tmp_path, 'base.py', 'log_level = "INFO"')
    written(tmp_path, 'b.json', '{"_base_": "./base.py", "work_dir": "x"}')
    written(tmp_path, 'c.yaml', '_base_: ./base.py\nresume: false\nlines: &one [1, 2]\nother: *one\n')
    written(tmp_path, 'a.py', "_base_ = './b.json'\nname = '{{ fileBasename }}'\nfolder = '{{$NOT_SET:here}}'")
    cfg = read_config(str(tmp_path / 'a.py'))
    assert (cfg.log_level, cfg.work_dir, cfg.name, cfg.folder) == ('INFO', 'x', 'a.py', 'here')
    assert read_config(str(tmp_path / 'c.yaml')).other == [1, 2]


def test_faults_of_inherited_files_name_that_file(tmp_path: Path) -> None:
    written(tmp_path, 'b.py', 'lr = = 1')
    written(tmp_path, 'c.json', '{"a": 1, "a": 2}')
    written(tmp_path, 'a.py', "_base_ = './b.py'")
    assert "b.py', which is wrong: line 1: invalid syntax" in refusal(tmp_path / 'a.py')
    written(tmp_path, 'a.py', "_base_ = './c.json'")
    assert "c.json', which has the key 'a' twice" in refusal(tmp_path / 'a.py')


def test_ctrl_c_stays_one(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        read_config(str(written(tmp_path, 'a.py', 'raise KeyboardInterrupt')))


def test_a_config_that_exits_does_not_end_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mmfas.cli.check import main as check
    from mmfas.cli.train import main as train

    path = str(written(tmp_path, 'a.py', 'import sys\nsys.exit(0)'))
    assert check([path]) == 2
    assert train([path]) == 2
    assert capsys.readouterr().err.count('it ends the process') == 2
    assert sys.exc_info() == (None, None, None)
