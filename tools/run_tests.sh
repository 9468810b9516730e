#!/usr/bin/env bash
# Run the tests on a bare machine (Python >= 3.10 and a package index); arguments go to pytest.
#   bash tools/run_tests.sh                                      everything but the next three, on the onedl stack
#   bash tools/run_tests.sh -m 'records or fuzz or tutorial'     pages against records, random inputs, kills, tutorials
#   bash tools/run_tests.sh -m 'not slow' tests/test_models      a part of it
#   MMFAS_STACK=openmmlab bash tools/run_tests.sh -m engine      the engine-facing part, on the original stack
# MMFAS_VENV names another place for the virtual environment, MMFAS_TEST_WORKERS the number of processes (2; 0 for none).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/lib/environment.sh

stack=${MMFAS_STACK:-onedl}
case "$stack" in
    # open_clip is what converted CLIP weights are compared with; deploy: what exported models run on
    onedl) venv=${MMFAS_VENV:-$PWD/.venv} extras=onedl,tests,clip,deploy ;;
    openmmlab) venv=${MMFAS_VENV:-$PWD/.venv-openmmlab} extras=openmmlab,tests,clip ;;
    *) mmfas_say "MMFAS_STACK must be onedl or openmmlab, but is '$stack'"; exit 2 ;;
esac
mmfas_environment "$venv" "$extras"

# A test seldom keeps more than one core busy: two processes with a thread each share two cores better than one with
# two. Tests of a file stay together, for they share what its fixtures make. `-n 0` among the arguments undoes it.
workers=${MMFAS_TEST_WORKERS:-2}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} MPLBACKEND=Agg
exec "$MMFAS_PYTHON" -m pytest -n "$workers" --dist loadfile --no-loadscope-reorder "$@"
