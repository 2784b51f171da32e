#!/bin/sh
# Unpacks MySQL 9.7 from Debian sid into CACHE/mysql97, without installing anything.
#
# A private apt (own lists, own empty status file) resolves and downloads the server and every library it needs;
# dpkg-deb unpacks them into one folder; the server runs through the loader that came along. Nothing of the system is
# changed. Safe to run again and from several processes at once. Prints the folder.
#
# Folder: root/ (unpacked), run-mysqld (wrapper), template/ (an initialised data folder to copy).
set -eu

CACHE=${DM_CACHE:-$HOME/.cache/dm}
HOME97=$CACHE/mysql97
MIRROR=${DM_DEBIAN_MIRROR:-http://deb.debian.org/debian}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

mkdir -p "$CACHE"
exec 9>"$CACHE/mysql97.lock"
flock 9

if [ -e "$HOME97/complete" ]; then
    echo "$HOME97"
    exit 0
fi

echo "MySQL 9.7 is not there yet: unpacking it from Debian sid into $HOME97 (about 65 MB to download)" >&2
rm -rf "$HOME97"
mkdir -p "$HOME97/apt/lists/partial" "$HOME97/apt/cache/archives/partial" "$HOME97/apt/etc" "$HOME97/root"
: >"$HOME97/apt/status"
echo "deb [signed-by=$KEYRING] $MIRROR sid main" >"$HOME97/apt/sources.list"

private_apt() {
    apt-get -qq \
        -o Dir::State::Lists="$HOME97/apt/lists" \
        -o Dir::State::status="$HOME97/apt/status" \
        -o Dir::State="$HOME97/apt" \
        -o Dir::Cache="$HOME97/apt/cache" \
        -o Dir::Etc::SourceList="$HOME97/apt/sources.list" \
        -o Dir::Etc::SourceParts=/nonexistent \
        -o Dir::Etc::Preferences=/nonexistent \
        -o Dir::Etc::PreferencesParts=/nonexistent \
        -o APT::Sandbox::User=root \
        -o APT::Get::AllowUnauthenticated=false \
        -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false \
        -o Debug::NoLocking=true \
        "$@" >&2
}

private_apt update
private_apt install -y --download-only --no-install-recommends mysql-server-core mysql-client-core

for package in "$HOME97"/apt/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$HOME97/root"
done

# The loader and the libraries sit in different places in merged and unmerged packages.
LOADER=
for candidate in usr/lib/x86_64-linux-gnu usr/lib64 lib/x86_64-linux-gnu lib64 usr/lib/aarch64-linux-gnu usr/lib lib; do
    for name in ld-linux-x86-64.so.2 ld-linux-aarch64.so.1; do
        if [ -z "$LOADER" ] && [ -e "$HOME97/root/$candidate/$name" ]; then LOADER=$candidate/$name; fi
    done
done
[ -n "$LOADER" ] || { echo "no dynamic loader among the unpacked packages" >&2; exit 1; }

# shellcheck disable=SC2016  # the wrapper expands these itself, so that the folder may be moved
{
    echo '#!/bin/sh'
    echo 'HERE=$(dirname "$(readlink -f "$0")")'
    echo 'R=$HERE/root'
    echo 'exec "$R/'"$LOADER"'" --library-path "$R/usr/lib/x86_64-linux-gnu:$R/lib/x86_64-linux-gnu:$R/usr/lib/aarch64-linux-gnu:$R/usr/lib/mysql/private:$R/usr/lib" --argv0 mysqld "$R/usr/sbin/mysqld" --no-defaults --basedir="$R/usr" --lc-messages-dir="$R/usr/share/mysql" --plugin-dir="$R/usr/lib/mysql/plugin" --character-sets-dir="$R/usr/share/mysql/charsets" "$@"'
} >"$HOME97/run-mysqld"
chmod +x "$HOME97/run-mysqld"

"$HOME97/run-mysqld" --initialize-insecure --secure-file-priv= --user="$(id -un)" --datadir="$HOME97/template" \
    --innodb-redo-log-capacity=8M --innodb-buffer-pool-size=64M >"$HOME97/initialize.log" 2>&1 ||
    { cat "$HOME97/initialize.log" >&2; exit 1; }
rm -f "$HOME97/template/auto.cnf"
rm -rf "$HOME97/apt"
touch "$HOME97/complete"
echo "$HOME97"
