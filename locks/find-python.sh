#!/bin/sh
# Prints the path of a Python that runs: one whose version is among those asked for ("3.11 3.12 3.13").
# An optional second argument is a command to try before all others.
# When there is none, it says so in one sentence and exits with 2.
wanted=$1
first=${2:-}

accept() { # COMMAND: prints its real path when it runs, is wanted and can make a venv
    found=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2], getattr(sys, "_base_executable", sys.executable))' 2>/dev/null) || return 1
    version=${found%% *}
    case " $wanted " in *" $version "*) ;; *) seen="$seen $1 ($version)"; return 1 ;; esac
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        without="$1"
        return 1
    fi
    printf '%s\n' "${found#* }"
}

HOME=${HOME:-/}
seen=
without=
if [ -n "$first" ]; then
    accept "$first" && exit 0
else
    accept python3 && exit 0
    for version in $wanted; do
        accept "python$version" && exit 0
        # pyenv keeps its versions apart from the PATH.
        for python in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
            [ -x "$python" ] && accept "$python" && exit 0
        done
    done
fi

list=${wanted%% *}
[ "$list" = "${wanted##* }" ] || list="$list to ${wanted##* }"
if [ -n "$without" ]; then
    echo "edgebot: $without has no venv module; on Debian and Ubuntu, 'sudo apt install python3-venv' brings it." >&2
elif [ -n "$seen" ]; then
    echo "edgebot: Python $list is needed, and only$seen is here; install one, or name it by 'make PYTHON=...'." >&2
else
    echo "edgebot: Python $list is needed, and ${first:-python3} is not here; on Debian and Ubuntu," \
        "'sudo apt install python3 python3-venv' brings it." >&2
fi
exit 2
