#!/usr/bin/env bash
# Sets up a django-helpdesk in a folder, if it is not there yet, and runs it on loopback.
#
#   run.sh FOLDER [PORT]     PORT defaults to 8000; 0 takes a free one
#   run.sh --setup FOLDER    sets it up and stops there
#
# DESK_PYTHON names a Python that has requirements.txt installed; without it a virtual environment is made in FOLDER.
set -euo pipefail

setup_only=false
if [[ "${1:-}" == --setup ]]; then
    setup_only=true
    shift
fi
if [[ $# -lt 1 ]]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
mkdir -p "$1"
DESK_DATA=$(cd "$1" && pwd)
export DESK_DATA
port=${2:-8000}
here=$(cd "$(dirname "$0")" && pwd)

export DJANGO_SETTINGS_MODULE=desk_settings
export PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1

# 1. Python packages, at the versions pinned in requirements.txt.
python=${DESK_PYTHON:-$DESK_DATA/venv/bin/python}
if [[ -z "${DESK_PYTHON:-}" ]] && ! cmp -s "$here/requirements.txt" "$DESK_DATA/venv/requirements.txt"; then
    python3 -m venv "$DESK_DATA/venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$DESK_DATA/venv/requirements.txt"
fi

# 2. Tables, a queue, a login, tickets. Both steps do nothing where nothing is missing.
"$python" -m django migrate --verbosity 0
"$python" "$here/desk_fill.py"
if $setup_only; then
    exit
fi

# 3. The server. What it listens on is said on stderr.
exec "$python" -m gunicorn --bind "127.0.0.1:$port" --workers 1 --threads 4 django.core.wsgi:get_wsgi_application\(\)
