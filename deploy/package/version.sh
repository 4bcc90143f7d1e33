#!/bin/sh
# Prints what is being built, a line each: version, commit, whether there are changes
# that are in no commit, and the time of the commit in seconds since 1970.
#
# The file VERSION has the next release. A commit with the tag v<VERSION> is that
# release; any other is <VERSION>~<date>.<commit>, which dpkg and rpm sort before it.
set -eu
cd "$(dirname "$0")/../.."

next=$(cat VERSION)
printf '%s' "$next" | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+' || {
    echo "VERSION holds \"$next\"; it must be three numbers, such as 1.2.0" >&2
    exit 1
}

# `sudo make install` asks as root in a folder of another user, which git
# does not trust by itself.
git() { command git -c safe.directory="$PWD" "$@"; }

# Without git, and in a part of another repository, there is no commit to name.
if ! commit=$(git rev-parse HEAD 2>/dev/null) || [ -n "$(git rev-parse --show-prefix)" ]; then
    printf '%s\nunknown\nfalse\n%s\n' "$next~source" "${SOURCE_DATE_EPOCH:-0}"
    exit
fi

modified=false
test -z "$(git status --porcelain)" || modified=true

version=$next~$(TZ=UTC git show -s --format=%cd --date=format-local:%Y%m%d HEAD).$(git rev-parse --short=10 HEAD)
if $modified; then
    version=$version.modified
elif git tag --points-at HEAD | grep -qx "v$next"; then
    version=$next
fi

printf '%s\n%s\n%s\n%s\n' "$version" "$commit" "$modified" "${SOURCE_DATE_EPOCH:-$(git show -s --format=%ct HEAD)}"
