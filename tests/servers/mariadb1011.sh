#!/bin/sh
# Makes sure that MariaDB's server programs are there and that an initialised data folder to copy is in
# CACHE/mariadb-template. Safe to run again and from several processes at once. Prints the folder.
#
# Missing programs are installed by apt (as root), with a policy that starts no service.
set -eu

CACHE=${DM_CACHE:-$HOME/.cache/dm}
TEMPLATE=$CACHE/mariadb-template

mkdir -p "$CACHE"
exec 9>"$CACHE/mariadb-template.lock"
flock 9

if ! command -v mariadbd >/dev/null || ! command -v mariadb-install-db >/dev/null; then
    echo "mariadbd is missing: installing mariadb-server by apt, because the tests run real servers" >&2
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
        echo "wrote /usr/sbin/policy-rc.d so that no installed service starts by itself" >&2
    fi
    apt-get -qq update >&2
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends mariadb-server >&2
fi

if [ ! -e "$TEMPLATE/complete" ]; then
    rm -rf "$TEMPLATE"
    mkdir -p "$TEMPLATE"
    mariadb-install-db --no-defaults --datadir="$TEMPLATE/data" --auth-root-authentication-method=normal \
        --skip-test-db --skip-name-resolve --user="$(id -un)" --innodb-log-file-size=8M >"$TEMPLATE/install.log" 2>&1 ||
        { cat "$TEMPLATE/install.log" >&2; exit 1; }
    touch "$TEMPLATE/complete"
fi
echo "$TEMPLATE"
