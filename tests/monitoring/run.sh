#!/bin/sh
# Alert and recording rules by promtool; then every query of the dashboard against a real Prometheus that scrapes a process
# whose disks fail: a full one, one that hangs, a dead one. About half a minute.
# Needs Prometheus (installed if this is root on Debian), and root with loop devices for the disks.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
sh "$root/tests/prometheus/install.sh" || exit 2
cd "$root/monitoring"
promtool check rules alerts.yml rules.yml
promtool test rules alerts_test.yml
cd "$here"
exec go test -count=1 -timeout 5m -v ./...
