#!/bin/sh
# Alert and recording rules by promtool; then every query of the dashboard against a real Prometheus that scrapes a process
# whose disks fail: a full one, one that hangs, a dead one. About half a minute.
# Needs Prometheus (installed if this is root on Debian), and root with loop devices for the disks.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if ! command -v promtool >/dev/null 2>&1 || ! command -v prometheus >/dev/null 2>&1; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing prometheus"
        { apt-get update && apt-get install -y --no-install-recommends prometheus; } >"${TMPDIR:-/tmp}/apt-prometheus.log" 2>&1 || true
    fi
    command -v promtool >/dev/null 2>&1 || { echo "promtool is missing: apt-get install prometheus" >&2; exit 2; }
fi
cd "$root/monitoring"
promtool check rules alerts.yml rules.yml
promtool test rules alerts_test.yml
cd "$here"
exec go test -count=1 -timeout 5m -v ./...
