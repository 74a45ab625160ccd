#!/bin/sh
# Writes hansa/v1 from proto/. Committed stubs must equal what this writes (tests/architecture compares them).
set -eu
cd "$(dirname "$0")/.."
out="${1:-.}"
PATH="$(pwd)/.venv/bin:$PATH"
mkdir -p "$out/hansa/v1"
python -m grpc_tools.protoc -I proto --python_out="$out" --grpc_python_out="$out" \
  --mypy_out="$out" --mypy_grpc_out="$out" proto/hansa/v1/*.proto
