#!/bin/sh
# Makes a virtual environment from a lock and installs edgebot into it, editable; does nothing when that is done.
# Usage: locks/install.sh VENV LOCK PYTHON, from the root of the repository.
set -eu
venv=$1
lock=$2
python=$3
# The lock and the metadata decide what is installed; the Python and the places, whether it still works.
state=$(cat "$lock" pyproject.toml | cksum; "$python" --version; pwd -P; cd "$(dirname "$venv")" && pwd -P)

if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/edgebot.stamp" 2>/dev/null)" = "$state" ]; then
    exit 0
fi
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null ||
    [ "$("$venv/bin/python" --version)" != "$("$python" --version)" ]; then
    echo "edgebot: making $venv with $("$python" --version)" >&2
    "$python" -m venv --clear "$venv"
fi
rm -f "$venv/edgebot.stamp"
echo "edgebot: installing $lock into $venv; the first time this takes some minutes" >&2
quiet=-q
[ -t 2 ] && quiet=
# shellcheck disable=SC2086  # an empty $quiet is no argument
"$venv/bin/python" -m pip install $quiet --disable-pip-version-check -r "$lock"
# setuptools is in the lock, so the build needs nothing that is not.
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
printf '%s\n' "$state" >"$venv/edgebot.stamp"
