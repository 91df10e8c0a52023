#!/usr/bin/env bash
# Pins the dependencies of requirements.in and build.in with hashes, for Python 3.10 and newer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

tool=../../.cache/lock
[ -x "$tool/bin/uv" ] || /usr/bin/python3 -m venv "$tool"
"$tool/bin/pip" install --quiet --upgrade uv

for name in build requirements; do
    "$tool/bin/uv" pip compile --quiet --no-config --universal --python-version 3.10 --upgrade \
        --generate-hashes --no-emit-index-url --no-annotate --no-header \
        --constraint build.in --build-constraints build.in "$name.in" --output-file "$name.lock"
done
