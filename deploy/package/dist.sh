#!/bin/sh
# Makes dist/ of what is in build/: packages, archives, bill of materials, checksums.
# `make dist` calls it. Two runs on one commit make the same bytes.
set -eu
cd "$(dirname "$0")/../.."
umask 022

GO=${GO:-go}
VERSION=$(sed -n 1p build/version)
SOURCE_DATE_EPOCH=$(sed -n 4p build/version)
MAINTAINER=${MAINTAINER:-in-defender maintainers <maintainers@in-defender.invalid>}
export VERSION SOURCE_DATE_EPOCH MAINTAINER
# What runs on this machine is built for it.
unset GOARCH GOOS || true

tool() { "$GO" tool -modfile=tools/dist/go.mod "$@"; }

# The date of every file is that of the commit.
settle() { find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# tree ARCH: what a package installs, and what only one kind of package has.
tree() {
    rm -rf "build/$1/tree" "build/$1/deb" "build/$1/rpm" "build/$1/doc"
    make --no-print-directory stage ARCH="$1" prefix=/usr DESTDIR="build/$1/tree" \
        DROPIN_DIR=/usr/lib/systemd/system/fluent-bit.service.d

    doc=build/$1/deb/usr/share/doc/in-defender
    mkdir -p "$doc" "build/$1/deb/usr/share/zsh/vendor-completions" "build/$1/rpm/usr/share/zsh/site-functions" \
        "build/$1/deb/usr/share/lintian/overrides"
    cp "build/$1/tree/usr/share/zsh/site-functions/_defenderctl" "build/$1/rpm/usr/share/zsh/site-functions/"
    mv "build/$1/tree/usr/share/zsh/site-functions/_defenderctl" "build/$1/deb/usr/share/zsh/vendor-completions/"
    rm -r "build/$1/tree/usr/share/zsh"
    mkdir "build/$1/doc"
    mv "build/$1/tree/usr/share/doc" "build/$1/tree/usr/share/man" "build/$1/doc/"
    rm "build/$1/doc/doc/in-defender/LICENSE"
    cp -R "build/$1/doc/." "build/$1/deb/usr/share/"
    cp deploy/package/copyright "$doc/copyright"
    cp deploy/package/lintian-overrides "build/$1/deb/usr/share/lintian/overrides/in-defender"
    {
        printf 'in-defender (%s) unstable; urgency=medium\n\n' "$VERSION"
        printf '  * What is new: CHANGELOG.md in this folder.\n\n'
        printf ' -- %s  %s\n' "$MAINTAINER" \
            "$(LC_ALL=C TZ=UTC date -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')"
    } | gzip -9n > "$doc/changelog.gz"

    for part in tree deb rpm doc; do
        settle "build/$1/$part"
    done
}

# configuration KIND: that of nfpm. A deb has documents and list of
# changes among its files.
configuration() {
    if [ "$1" = deb ]; then
        cat deploy/package/nfpm.yaml
        return
    fi

    find "build/$ARCH/doc" -type f | sort | while read -r file; do
        printf '  - src: %s\n    dst: /usr/share/%s\n    type: doc\n' "$file" "${file#"build/$ARCH/doc/"}"
    done > build/documents.yaml
    sed '/^  # Here dist.sh/r build/documents.yaml' deploy/package/nfpm.yaml
    echo "changelog: build/changelog.yaml"
}

# archive ARCH: for machines without either kind of package. It is unpacked below
# /usr/local, which its examples name.
archive() {
    folder=in-defender_${VERSION}_linux_$1
    rm -rf "build/$1/archive"
    make --no-print-directory stage ARCH="$1" prefix=/ DESTDIR="build/$1/archive/$folder" \
        DOCDIR=/share/doc/in-defender LIBDIR=/lib/fluent-bit RUN_PREFIX=/usr/local \
        RUN_LIBDIR=/usr/local/lib/fluent-bit
    settle "build/$1/archive"
    tar --directory "build/$1/archive" --sort=name --owner=0 --group=0 --numeric-owner --format=gnu \
        --create "$folder" | gzip -9n > "dist/$folder.tar.gz"
}

for command in gzip tar sha256sum; do
    command -v $command >/dev/null || {
        echo "make dist needs $command" >&2
        exit 1
    }
done

rm -rf dist
mkdir -p dist

# The list of changes inside the rpm, in the form that nfpm reads. It
# wants versions without "~".
cat > build/changelog.yaml << EOF
- semver: $(echo "$VERSION" | tr '~' '-')
  date: $(TZ=UTC date -d "@$SOURCE_DATE_EPOCH" '+%Y-%m-%dT%H:%M:%SZ')
  packager: $MAINTAINER
  changes:
    - note: What is new is in /usr/share/doc/in-defender/CHANGELOG.md.
EOF

for ARCH in $ARCHES; do
    export ARCH
    tree "$ARCH"
    for kind in deb rpm; do
        configuration $kind > build/nfpm.yaml
        tool nfpm package --config build/nfpm.yaml --packager $kind \
            --target "dist/in-defender_${VERSION}_$ARCH.$kind" >&2
    done
    archive "$ARCH"
done

# A bill of materials for each binary, put together in one.
set --
for ARCH in $ARCHES; do
    for name in in_defender.so defenderctl; do
        bill=build/$ARCH/$name.bom.json
        cp "build/$ARCH/$name" "build/$ARCH/$name.x"
        chmod +x "build/$ARCH/$name.x"
        tool cyclonedx-gomod bin -json -noserial -notimestamp -version "v$VERSION" -output "$bill" "build/$ARCH/$name.x"
        rm "build/$ARCH/$name.x"
        set -- "$@" "$name=$PWD/$bill"
    done
done
"$GO" run -C tools/dist ./sbom -version "$VERSION" "$@" > "dist/in-defender_$VERSION.sbom.json"

(cd dist && sha256sum -- in-defender_* > SHA256SUMS)
ls -l dist
