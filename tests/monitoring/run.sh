#!/bin/sh
# Alert and recording rules by promtool; then every query of the dashboard against a real Prometheus that scrapes a process
# whose disks fail: a full one, one that hangs, a dead one. About half a minute.
# Needs Prometheus and e2fsprogs (installed if this is root on Debian), and root with loop devices for the disks.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
sh "$root/tests/packages.sh" prometheus:prometheus promtool:prometheus mkfs.ext4:e2fsprogs || exit 2
cd "$root/monitoring"
promtool check rules alerts.yml rules.yml
promtool test rules alerts_test.yml
cd "$here"
exec go test -count=1 -timeout 5m -v ./...
