#!/bin/sh
# Makes the user and the data directory. Fluent Bit is never restarted: that is for the
# administrator to decide.
#
# dpkg calls it with "configure" and the version that was there before; rpm with the
# number of versions that are installed now.
set -e

case "${1:-}" in
    configure) test -n "${2:-}" && first=false || first=true ;;
    1) first=true ;;
    [2-9]*) first=false ;;
    *) exit 0 ;;
esac

if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers in-defender.conf
elif ! getent passwd defender >/dev/null; then
    useradd --system --user-group --no-create-home --home-dir /var/lib/defender --shell /usr/sbin/nologin defender
fi

# A directory that exists stays as it is: it may belong to another user,
# whom Fluent Bit runs as.
if [ ! -e /var/lib/defender ]; then
    install -d -m 0700 -o defender -g defender /var/lib/defender
fi

unit=/etc/systemd/system/fluent-bit.service.d
switched_off=$unit/50-in-defender.conf
if $first && [ ! -e $switched_off ] && command -v systemctl >/dev/null &&
    { systemctl is-active --quiet fluent-bit 2>/dev/null || systemctl is-enabled --quiet fluent-bit 2>/dev/null; }; then
    # This Fluent Bit already does something, which may need the rights it has today.
    mkdir -p $unit
    ln -s /dev/null $switched_off
fi

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi

if ! $first; then
    echo "in-defender: Fluent Bit goes on with the old plugin until it is restarted: systemctl restart fluent-bit"
    exit 0
fi

echo "in-defender: Fluent Bit was not restarted. What comes next: /usr/share/doc/in-defender/README"
if [ -L $switched_off ]; then
    echo "in-defender: fluent-bit.service is in use and keeps its user and its rights. To run it as the user"
    echo "  defender, hardened: rm $switched_off && systemctl daemon-reload"
fi
