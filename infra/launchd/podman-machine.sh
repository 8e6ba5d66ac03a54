#!/bin/sh
# Starts the Podman machine and waits, so that a shutdown can stop it in order: launchd sends SIGTERM, and a machine that is only
# killed may lose what its containers wrote.
set -u
# A few lines a start; only the last start matters.
stop() {
  trap - TERM INT HUP
  [ -n "${waiting:-}" ] && kill "$waiting" 2>/dev/null
  podman machine stop
  exit
}
trap stop TERM INT HUP
state=$(podman machine inspect --format '{{.State}}' 2>/dev/null) || state=
case $state in
  running) echo "the Podman machine runs already" ;;
  '') echo "there is no Podman machine; make one with: podman machine init" >&2; exit 1 ;;
  *) podman machine start || exit ;;
esac
while :; do
  sleep 86400 &
  waiting=$!
  wait "$waiting"
done
