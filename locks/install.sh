#!/bin/sh
# Makes a virtual environment from a lock and installs edgebot into it, editable; does nothing when that is done.
# Usage: locks/install.sh VENV LOCK "VERSIONS" [PYTHON], from the root of the repository. VERSIONS are the Pythons that
# will do, PYTHON a command to take. An environment whose own Python will do is kept.
set -eu
venv=$1
lock=$2
wanted=$3
named=${4:-}

own() { # the version of the environment's Python, nothing where there is none that works
    "$venv/bin/python" -c 'import pip, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || :
}

state() { # what is installed is decided by lock and metadata; whether it is found, by the places
    cat "$lock" pyproject.toml | cksum
    own
    pwd -P
    cd "$(dirname "$venv")" && pwd -P
}

python=
if [ -n "$named" ]; then
    python=$(locks/find-python.sh "$wanted" "$named")
    wanted=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
fi
have=$(own)
case " $wanted " in
*" ${have:-none} "*)
    [ "$(cat "$venv/edgebot.stamp" 2>/dev/null)" != "$(state)" ] || exit 0
    ;;
*)
    [ -n "$python" ] || python=$(locks/find-python.sh "$wanted")
    echo "edgebot: making $venv with $("$python" --version)" >&2
    "$python" -m venv --clear "$venv"
    ;;
esac
rm -f "$venv/edgebot.stamp"
echo "edgebot: installing $lock into $venv; the first time this takes some minutes" >&2
quiet=-q
[ -t 2 ] && quiet=
# shellcheck disable=SC2086  # an empty $quiet is no argument
"$venv/bin/python" -m pip install $quiet --disable-pip-version-check -r "$lock"
# setuptools is in the lock, so the build needs nothing that is not.
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
state >"$venv/edgebot.stamp"
