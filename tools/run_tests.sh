#!/usr/bin/env bash
# Run the tests on a bare machine (Python >= 3.10 and a package index); arguments go to pytest.
#   bash tools/run_tests.sh                                      everything but the next three, on the onedl stack
#   bash tools/run_tests.sh -m 'records or fuzz or tutorial'     pages against records, random inputs, tutorials
#   bash tools/run_tests.sh -m 'not slow' tests/test_models      a part of it
#   MMFAS_STACK=openmmlab bash tools/run_tests.sh -m engine      the engine-facing part, on the original stack
# MMFAS_VENV names another place for the virtual environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/lib/environment.sh

stack=${MMFAS_STACK:-onedl}
case "$stack" in
    # open_clip is what converted CLIP weights are compared with
    onedl) venv=${MMFAS_VENV:-$PWD/.venv} extras=onedl,tests,clip ;;
    openmmlab) venv=${MMFAS_VENV:-$PWD/.venv-openmmlab} extras=openmmlab,tests ;;
    *) mmfas_say "MMFAS_STACK must be onedl or openmmlab, but is '$stack'"; exit 2 ;;
esac
mmfas_environment "$venv" "$extras"

# More threads than cores per test only slow two cores down, and waiting ones must not spin on them.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} MPLBACKEND=Agg
exec "$MMFAS_PYTHON" -m pytest "$@"
