#!/usr/bin/env bash
# Brings edgebot onto Raspberry Pi robots over ssh: ./deploy.sh robot.local; ./deploy.sh --help teaches the rest.
# Finds or makes the environment that edge/deploy runs in; everything else is there.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

for program in ssh rsync; do
    command -v "$program" >/dev/null || {
        echo "deploy: $program is not installed on this machine; on Debian and Ubuntu, 'sudo apt install openssh-client rsync' brings both" >&2
        exit 2
    }
done

python=${EDGEBOT_PYTHON:-$here/.venv/bin/python}
if ! "$python" -c 'import edge.cli' 2>/dev/null; then
    if [ -n "${EDGEBOT_PYTHON:-}" ]; then
        echo "deploy: EDGEBOT_PYTHON is '$EDGEBOT_PYTHON', which has no edgebot; leave it out, or name another" >&2
        exit 2
    fi
    make --no-print-directory -C "$here" install >&2
fi
exec "$python" -m edge.deploy "$@"
