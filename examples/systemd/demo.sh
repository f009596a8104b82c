#!/bin/sh
# ./demo.sh: the units are sound, and the server runs on a socket that it was given, and without one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
# systemd-analyze wants to see what ExecStart= names.
sed "s#/opt/example/server.mjs#$here/server.mjs#" "$here/app.service" >"$folder/app.service"
sed "s#/opt/example/server.mjs#$here/server.mjs#" "$here/standalone.service" >"$folder/standalone.service"
cp "$here/app.socket" "$here/run.service" "$folder/"
systemd-analyze verify --recursive-errors=no "$folder/app.service" "$folder/app.socket" "$folder/standalone.service" "$folder/run.service"
echo 'the units are sound'

ask() { curl --silent --show-error --retry 50 --retry-delay 0 --retry-all-errors --unix-socket "$folder/app.sock" http://localhost/; }

systemd-socket-activate --listen="$folder/app.sock" --setenv=PATH "$(command -v node)" "$here/server.mjs" "$folder/app.sock" 2>"$folder/log" &
ask
kill $! && wait $! || true
rm "$folder/app.sock"

node "$here/server.mjs" "$folder/app.sock" &
ask
kill $! && wait $! || true
rm -r "$folder"
