"""Time a layer of product-key experts by its number of experts, and the optimizers that may update it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmfas.cli.errors import reports_user_errors
from mmfas.cli.numbers import device, whole
from mmfas.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projects.expert_cost.cost import ExpertCost, PowerLaw

NUMBERS = (16, 64, 256, 1024, 4096, 16384, 65536)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        '--experts',
        type=whole(),
        nargs='+',
        default=NUMBERS,
        help='numbers of experts, squares (default: 16 to 65536)',
    )
    parser.add_argument('--rows', type=whole(), default=8 * 196, help='rows in a batch (default: 8 x 196)')
    parser.add_argument('--dims', type=whole(), default=24, help='width of what the experts see (default: 24)')
    parser.add_argument(
        '--gate-dims', type=whole(), default=16, help='width of what the router sees (default: 16)'
    )
    parser.add_argument('--heads', type=whole(), default=2, help='heads of the router (default: 2)')
    parser.add_argument('--top-k', type=whole(), default=2, help='experts per head (default: 2)')
    parser.add_argument('--key-dims', type=whole(), default=8, help='width of a half key (default: 8)')
    parser.add_argument('--rounds', type=whole(), default=20, help='timed rounds (default: 20)')
    parser.add_argument('--warm-up', type=whole(0), default=3, help='rounds before the clock starts (default: 3)')
    parser.add_argument(
        '--clock',
        choices=('wall', 'cpu'),
        default='wall',
        help='wall time, or CPU time of this process, for one thread on a busy machine (default: wall)',
    )
    parser.add_argument('--threads', type=whole(), help='CPU threads (default: those of torch)')
    parser.add_argument('--device', type=device, default='cpu', help='device (default: cpu)')
    parser.add_argument('--out-dir', default='experts', help='folder to write to (default: experts)')


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Print the table of costs and the fits, and draw them.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status: 0, or 1 if the numbers do not fit.
    """
    parser = argparse.ArgumentParser(prog='python -m projects.expert_cost', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    if len(set(args.experts)) < 3:
        raise InputError(f'--experts must be three numbers or more, for a fit, got {args.experts}')

    import torch

    from mmfas.utils.files import write_atomically
    from mmfas.visualization.expert_plots import plot_expert_cost
    from mmfas.visualization.style import save_figure
    from projects.expert_cost.cost import PASSES, UPDATES, LayerShape, fit_power_law, measure_expert_cost

    if args.device.startswith('cuda') and not torch.cuda.is_available():
        raise InputError(f'--device {args.device} needs a GPU, and there is none; leave it out to time the CPU')
    if args.threads:
        torch.set_num_threads(args.threads)
    threads = torch.get_num_threads()
    shape = LayerShape(args.rows, args.dims, args.gate_dims, args.heads, args.top_k, args.key_dims)
    numbers = sorted(set(args.experts))
    clock = dict(num_rounds=args.rounds, num_warm_up=args.warm_up, clock=args.clock)
    costs = measure_expert_cost(numbers, shape, device=args.device, **clock)
    passes = {kind: [cost.passes_ms[kind] for cost in costs] for kind in PASSES}
    updates = {name: [cost.updates_ms[name] for cost in costs] for name in UPDATES}
    fits = {kind: fit_power_law(numbers, values) for kind, values in passes.items()}
    print(
        f'{args.rows} rows, {args.device}, {threads} threads, {args.rounds} rounds; medians in ms ({args.clock})'
    )
    _print_report(costs, fits)
    out = Path(args.out_dir)
    print(save_figure(plot_expert_cost(numbers, passes, updates, fits=fits), out / 'cost.png'))
    report = {
        'rows': args.rows,
        'threads': threads,
        'clock': args.clock,
        'costs': [cost.to_dict() for cost in costs],
    }
    report['fits'] = {kind: vars(fit) for kind, fit in fits.items()}
    write_atomically(out / 'cost.json', json.dumps(report, indent=2) + '\n')
    return 0


def _print_report(costs: Sequence[ExpertCost], fits: dict[str, PowerLaw]) -> None:
    """Print all costs, the fits, and which optimizer makes the cheapest step."""
    from mmfas.evaluation.tables import text_table
    from projects.expert_cost.cost import UPDATES

    header = ('experts', 'taken', *(f'passes, {kind}' for kind in fits), *UPDATES)
    rows = []
    for cost in costs:
        values = (*cost.passes_ms.values(), *cost.updates_ms.values())
        rows.append((str(cost.num_experts), str(cost.num_taken), *(f'{value:.2f}' for value in values)))
    print(text_table(header, rows))
    for kind, fit in fits.items():
        print(f'passes with {kind} gradients: {fit} ms')
    for cost in costs:
        best = min(UPDATES, key=cost.step_ms)
        fraction = cost.updates_ms[best] / cost.step_ms(best)
        print(f'{cost.num_experts} experts: a step is cheapest with {best}, whose update is {fraction:.0%} of it')


if __name__ == '__main__':
    sys.exit(main())
