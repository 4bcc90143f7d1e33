#!/bin/sh
# Removing keeps the data: refresh tokens and progress. Purging, which only
# dpkg knows, deletes them.
set -e

switched_off=/etc/systemd/system/fluent-bit.service.d/50-in-defender.conf
forget_switch() {
    if [ "$(readlink $switched_off || true)" = /dev/null ]; then
        rm -f $switched_off
        rmdir --ignore-fail-on-non-empty "$(dirname $switched_off)"
    fi
}

case "${1:-}" in
    remove | 0)
        echo "in-defender: Fluent Bit was not restarted. Take the [INPUT] sections and the plugin out of its"
        echo "  configuration before it starts again. /var/lib/defender is kept."
        if [ "$1" = 0 ]; then forget_switch; fi
        ;;
    purge)
        rm -rf /var/lib/defender
        forget_switch
        ;;
    *) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
