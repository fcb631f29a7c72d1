#!/usr/bin/env bash
# Puts the face library facesjs 5.0.3 (npm, Apache-2.0) under .local/facesjs, for drawing and training. Its code is no part of
# this repository. The folder appears under that name only when the package has the digest that npm's registry gives for it.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

version=5.0.3
sha512=oOlOcjkjgkc9bl8v8bBUSC7h5uTiw33xkUm75i5I84iz6U3TmaJEJZD+k49ksYGAJ8GQ1jETg4ImrIN8LMS8cA==
registry=${CFX_NPM_REGISTRY:-https://registry.npmjs.org}
target=$state/facesjs
part=$target.part

whole() { [ -f "$target/LICENSE" ] && grep -q "\"version\": \"$version\"" "$target/package.json" 2>/dev/null; }

if whole; then
    say "facesjs $version: there"
    exit 0
fi
take_lock
if whole; then # another make brought it while this one waited
    say "facesjs $version: there"
    exit 0
fi
rm -rf "$part"
mkdir -p "$part"
say "fetching facesjs $version (0.1 MB, once)"
package=$part/facesjs-$version.tgz
# npm knows a machine's own registry and proxy; few servers have npm, and the package is one file.
if command -v npm >/dev/null; then
    (cd "$part" && npm pack --silent "facesjs@$version" >/dev/null 9>&-) ||
        fail "npm could not fetch facesjs $version; its words are above" "check the network (or npm's registry setting) and run make again"
else
    curl --fail --silent --show-error --location --retry 3 --output "$package" "$registry/facesjs/-/facesjs-$version.tgz" ||
        fail "facesjs $version could not be fetched from $registry" "check the network (or CFX_NPM_REGISTRY) and run make again"
fi
found=$(python3 -c 'import base64, hashlib, sys
print(base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode())' "$package")
[ "$found" = "$sha512" ] || fail "the package of facesjs $version is not the one this project was made with" \
    "expected sha512-$sha512" "found    sha512-$found"
tar --extract --gzip --file "$package" --directory "$part" --strip-components=1 --no-same-owner
rm "$package"
rm -rf "$target"
mv "$part" "$target"
say "facesjs $version is in .local/facesjs"
