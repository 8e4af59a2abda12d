#!/bin/sh
# Installs what is missing, if this is root on Debian; else names it with the command that does. Exit: 0 if all of it is there.
#
#   tests/packages.sh <program>:<Debian package that brings it>...
set -eu
PATH=$PATH:/usr/sbin:/sbin
packages=
for need; do
    command -v "${need%%:*}" >/dev/null 2>&1 && continue
    case " $packages " in *" ${need#*:} "*) ;; *) packages="${packages:+$packages }${need#*:}" ;; esac
done
[ -n "$packages" ] || exit 0
apt=$(command -v apt-get) && [ "$(id -u)" -eq 0 ] || {
    echo "missing: $packages. Install as root, on Debian: apt-get update && apt-get install $packages" >&2
    exit 1
}
# One at a time. Whoever waited looks again at what is missing.
[ "${PACKAGES_LOCKED:-}" ] || PACKAGES_LOCKED=1 exec flock -o "$apt" sh "$0" "$@"

echo "installing $packages" >&2
case " $packages " in *" prometheus "*)
    # The package would start a server of its own, on port 9090.
    if [ -d /run/systemd/system ] && ln -s /dev/null /etc/systemd/system/prometheus.service 2>/dev/null; then
        echo "the service of Debian's prometheus is masked, and stays off until: systemctl unmask prometheus" >&2
    fi ;;
esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive "$apt" -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends $packages
}
# The machine's own apt-get may be at the lists, whose lock has no timeout.
update() {
    for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
        "$apt" update -q && return
        sleep 10
    done
    return 1
}
# The lists are missing on a fresh machine, or name what is no longer there.
{ install || { update && install; }; } >"$log" 2>&1 || {
    tail -5 "$log" >&2
    echo "cannot install $packages. By hand: apt-get update && apt-get install $packages" >&2
    exit 1
}
