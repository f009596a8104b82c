#!/bin/sh
# ./demo.sh: what compose.yaml does, with namespaces in place of containers. Needs root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
# Each is process 1 of its own PID namespace, with a host name and a mount table of its own, and shares the folder: a container with a volume.
container() {
  exec unshare --pid --fork --kill-child --mount-proc --uts --ipc --mount \
    sh -c 'hostname "$1" && exec node "$2" "$3"' sh "$1" "$here/server.mjs" "$folder/app.sock"
}
ask() { curl --silent --show-error --retry 50 --retry-delay 0 --retry-all-errors --unix-socket "$folder/app.sock" http://localhost/; }

(container one) &
one=$!
ask
(container two) &
two=$!
inode=$(stat -c %i "$folder/app.sock.lock")
until grep -q -e "->.*:$inode " /proc/locks; do :; done # It waits in flock(2).
kill -9 $one
until ask 2>/dev/null | grep two; do :; done # Who was queued at the one that died sees a reset.
kill -9 $two
rm -r "$folder"
