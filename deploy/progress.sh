#!/bin/sh
# progress.sh WORDS COMMAND...: run a command that says nothing by itself. A terminal shows the seconds, a file one line.
set -eu
words=$1
shift
if ! [ -t 1 ]; then
  echo "  $words …"
  exec "$@"
fi
"$@" &
work=$!
trap 'kill "$work" 2>/dev/null' INT TERM
seconds=0
while kill -0 "$work" 2>/dev/null; do
  printf '\r\033[K  %s … %3s s' "$words" "$seconds"
  sleep 1
  seconds=$((seconds + 1))
done
printf '\r\033[K'
wait "$work"
