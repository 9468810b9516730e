"""File names and list lines of SynthFAS: the layouts of CASIA-CeFA, PADISI-USC, CASIA-SURF and WMCA."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from mmfas.synthfas.plan.plan import Setting, VideoPlan
from mmfas.synthfas.plan.sites import is_site

__all__ = ['FrameFiles', 'frame_files', 'list_line', 'list_name', 'subject_key', 'video_key']

_FIRST_SUBJECT = {'train': 0, 'val': 200, 'test': 300, 'site': 5000}
#: Folder of the colour picture in each layout; depth and NIR have the same names everywhere.
_COLOUR_FOLDER = {'C': 'profile', 'S': 'color', 'W': 'color'}
_FRAME_NUMBERS = {'C': (26, 51, 76), 'S': (41, 121, 161), 'W': (12, 24, 36), 'P': (0,)}
_PAI_CODES_W = {
    'live': (0, 0), 'glasses': (1, 1), 'fakehead': (2, 2), 'mask3d': (2, 20), 'silicone': (2, 40),
    'papermask': (2, 60), 'prosthetic': (2, 80), 'print': (3, 1), 'replay': (4, 3),
}  # fmt: skip
_CODES_C = {'live:': (1, 1), 'print:indoor': (3, 2), 'print:outdoor': (3, 3), 'replay:': (3, 4)}
_CUTS_S = {'e_s': '01', 'e_b': '02', 'en_s': '03', 'en_b': '04', 'enm_s': '05', 'enm_b': '06'}


@dataclass(frozen=True)
class FrameFiles:
    """Relative paths of one frame; for P all three are the same npz file."""

    rgb: str
    depth: str
    ir: str


def subject_key(setting: Setting, plan: VideoPlan) -> str:
    """Name a subject; the names of different domains, splits and seeds differ."""
    return f'{plan.domain}{setting.seed}-{plan.split}-{plan.subject:03d}'


def _video_c(plan: VideoPlan) -> str:
    """Folder of a CASIA-CeFA video, as in `CeFA-Race/AF/AF-000/1_000_3_1_2`."""
    number = _FIRST_SUBJECT[plan.split] + plan.subject
    if plan.pai == 'mask3d':
        first, second, last = plan.take % 2, plan.take // 2 % 2, 1 + plan.take // 4
        return f'CeFA/CeFA-Mask/3D-Mask/{number:03d}/1_{number:03d}_{first}_{second}_2_1_{last}'
    if plan.pai in ('silicone', 'prosthetic'):
        kind = 0 if plan.pai == 'silicone' else 1
        return f'CeFA/CeFA-Mask/Silicone-Mask/{number:03d}/2_{number:03d}_1_{kind}_2_1_{1 + plan.take}'
    race, code = ('AF', 1) if plan.subject % 2 == 0 else ('CA', 2)
    kind, last = _CODES_C[f'{plan.pai}:{plan.variant}']
    return f'CeFA/CeFA-Race/{race}/{race}-{number:03d}/{code}_{number:03d}_{kind}_{1 + plan.take}_{last}'


def _video_s(plan: VideoPlan) -> str:
    """Folder of a CASIA-SURF video, as in `fake_part/fake_train_part/CLKJ_AS0005/02_e_b.rssdk`."""
    session = 'ABCDEFGH'[plan.take % 8] + 'S'
    first = {'train': 0, 'val': 1000, 'test': 2000, 'site': 9000}[plan.split]
    number = first + plan.subject + 500 * (plan.take // 8)
    if plan.label:
        return f'CASIA-SURF-CROP/real_part/real_{plan.split}_part/CLKJ_{session}{number:04d}/real.rssdk'
    kind = f'{_CUTS_S[plan.variant]}_{plan.variant}' if plan.variant else f'07_{plan.pai}'
    return f'CASIA-SURF-CROP/fake_part/fake_{plan.split}_part/CLKJ_{session}{number:04d}/{kind}.rssdk'


def _video_w(plan: VideoPlan) -> str:
    """Folder of a WMCA video: `client_session_presenter_type_pai`."""
    first = {'train': 1, 'val': 201, 'test': 401, 'site': 5001}[plan.split]
    number = first + plan.subject
    kind, code = _PAI_CODES_W[plan.pai]
    presenter = 0 if plan.label else first + plan.other
    session, extra = 1 + plan.take % 7, plan.take // 7
    return f'WMCA-Image/R_CDIT/{number:03d}_{session:02d}_{presenter:03d}_{kind}_{code + extra:02d}'


def video_key(setting: Setting, plan: VideoPlan) -> str:
    """Return the video: its folder, or for P the name of its one file without the ending."""
    if plan.domain == 'P':
        text = f'synthfas-{setting.seed}-{plan.split}-{plan.index}'
        return hashlib.sha256(text.encode()).hexdigest()[:8]
    if is_site(plan.domain):
        # A hash: neither the name nor the order of names tells what is presented.
        text = f'synthfas-{plan.domain}-{setting.seed}-{plan.index}'
        return f'{plan.domain}/{hashlib.sha256(text.encode()).hexdigest()[:12]}'
    return {'C': _video_c, 'S': _video_s, 'W': _video_w}[plan.domain](plan)


def frame_files(setting: Setting, plan: VideoPlan, frame: int) -> FrameFiles:
    """Return the paths of a frame below the root of the data.

    Args:
        setting: For its seed (names of P).
        plan: The video.
        frame: 0 .. `plan.num_frames` - 1.
    """
    video = video_key(setting, plan)
    if plan.domain == 'P':
        path = f'PADISI/{video}.npz'
        return FrameFiles(path, path, path)
    if is_site(plan.domain):
        return FrameFiles(f'{video}-rgb.jpg', f'{video}-depth.jpg', f'{video}-ir.jpg')
    number = _FRAME_NUMBERS[plan.domain][frame]
    name = f'{number:04d}.jpg' if plan.domain != 'S' else f'{number}.jpg'
    colour = _COLOUR_FOLDER[plan.domain]
    return FrameFiles(f'{video}/{colour}/{name}', f'{video}/depth/{name}', f'{video}/ir/{name}')


def sample_id(setting: Setting, plan: VideoPlan, frame: int) -> str:
    """Return the identity of a frame as its list names it: the RGB path, or the bare npz name."""
    path = frame_files(setting, plan, frame).rgb
    return path.rpartition('/')[2] if plan.domain == 'P' else path


def list_line(setting: Setting, plan: VideoPlan, frame: int) -> str:
    """Return the line of a protocol list, without its end: `rgb depth ir label`, or `name.npz<TAB>label`."""
    if plan.domain == 'P':
        return f'{sample_id(setting, plan, frame)}\t{plan.label}'
    files = frame_files(setting, plan, frame)
    return f'{files.rgb} {files.depth} {files.ir} {plan.label}'


def list_name(domain: str, split: str) -> str:
    """Return the path of a list below the root, as in `protocols/C-train.txt`."""
    return f'protocols/{domain}-{split}.txt'
