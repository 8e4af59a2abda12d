#!/bin/sh
# Installs Prometheus where it is missing, if this is root on Debian; else names the command. Exit: 0 if it is there.
command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1 && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing prometheus" >&2
    log=$(mktemp)
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends prometheus; } >"$log" 2>&1
    command -v prometheus >/dev/null 2>&1 && { rm -f "$log"; exit 0; }
    tail -5 "$log" >&2
    rm -f "$log"
fi
echo "prometheus is missing: apt-get install prometheus" >&2
exit 1
