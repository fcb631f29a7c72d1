#!/usr/bin/env bash
# Builds the three images as their Dockerfiles say, on a machine without an engine and without a registry of images, and runs what was
# built: `make images`. It needs root, Debian's buildah and debootstrap, and the private stack, which it starts.
#   prove.sh           all of it
#   prove.sh build     the two bases and the three images only
#   prove.sh run       what is proved of images that are built already
# PROFILE=dev compiles quickly and not for use. CFX_IMAGES is the folder for everything [.local/images, some 30 GB]; remove it and
# nothing is left. The images in it are made for this proof: of Debian's packages of today and this machine's Rust.
# shellcheck source=bases.sh
source "$(dirname "${BASH_SOURCE[0]}")/bases.sh"

names=(coordinator worker-cpu worker-cuda)
commit=${CFX_COMMIT:-$(git -C "$root" describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)}

what=${1:-all}
case $what in
all | build | run) ;;
*) fail "usage: prove.sh [build | run]" ;;
esac
[ "$(id -u)" -eq 0 ] || fail "images are built and run here in root file systems of their own, and that takes root" "run: sudo make images"
for tool in buildah debootstrap unshare setpriv cc jq; do
    command -v "$tool" >/dev/null ||
        fail "$tool is missing" "install what is: apt-get install --no-install-recommends buildah debootstrap util-linux build-essential jq"
done
unshare --mount true || fail "this machine lets nobody mount, root neither" "run it outside the container that forbids it"
mkdir -p "$images"/{tmp,storage,run,log}
# Others work here, too.
renice -n 5 $$ >/dev/null

# --- building ----------------------------------------------------------------------------------------------------------

# build IMAGE DOCKERFILE [OPTION...]
build() {
    local name=$1 file=$2 began=$SECONDS
    shift 2
    say "building $name"
    (cd "$root" && buildah_ build --layers --pull-never --format docker --file "deploy/docker/$file" \
        --volume "$passed/apt:/etc/apt:ro" --secret "id=ca,src=$passed/ca.pem" --secret "id=cargo,src=$passed/cargo.toml" \
        --secret "id=pip,src=$passed/pip.conf" --build-arg "COMMIT=$commit" --build-arg "PROFILE=${PROFILE:-release}" \
        --tag "localhost/counterfactory/$name" "$@" .) >"$images/log/$name.log" 2>&1 || {
        tail -n 20 "$images/log/$name.log" >&2
        fail "$name cannot be built; the end of its log is above" "whole log: $images/log/$name.log"
    }
    note "$((SECONDS - began)) s"
}

if [ "$what" != run ]; then
    pass_settings
    base_debian
    base_rust
    build coordinator coordinator.Dockerfile
    build worker-cpu worker.Dockerfile --target cpu
    build worker-cuda worker.Dockerfile --target cuda
fi
[ "$what" != build ] || exit 0

# --- the images, opened ------------------------------------------------------------------------------------------------

work=$(mktemp -d "$images/proof.XXXXXX")
# The image's user walks through here to the volumes.
chmod 711 "$work"
mounts=()
running=()
cleanup() {
    local code=$? pid
    for pid in "${running[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    [ -z "${database:-}" ] || psql -qX "$CFX_DATABASE_URL" -c "drop database if exists $database with (force)" >/dev/null 2>&1 || true
    [ -z "${database:-}" ] || curl --silent --request DELETE "$CFX_BROKER_API/api/vhosts/$database" || true
    [ -z "${bucket:-}" ] || rm -rf "$state/s3/data/${bucket:?}"
    for name in "${mounts[@]}"; do buildah_ rm "proof-$name" >/dev/null 2>&1 || true; done
    if [ "$code" -eq 0 ]; then rm -rf "$work"; else note "logs and files of the proof: $work" >&2; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# open IMAGE: its root file system at $(root_of IMAGE), its settings in $work/IMAGE.json, a folder for each of its volumes.
open() {
    local volume
    has "localhost/counterfactory/$1" || fail "$1 is not built" "build it with: deploy/docker/prove.sh build"
    buildah_ rm "proof-$1" >/dev/null 2>&1 || true
    buildah_ from --pull-never --name "proof-$1" "localhost/counterfactory/$1" >/dev/null
    mounts+=("$1")
    buildah_ mount "proof-$1" >"$work/$1.root"
    buildah_ inspect --type image "localhost/counterfactory/$1" | jq .Docker.config >"$work/$1.json"
    # As an engine does: a new volume has the owner and the rights of the folder that it covers.
    while IFS= read -r volume; do
        mkdir -p "$work/$1$volume"
        chown --reference="$(root_of "$1")$volume" "$work/$1$volume"
        chmod --reference="$(root_of "$1")$volume" "$work/$1$volume"
    done < <(of "$1" '.Volumes | keys[]')
}
root_of() { cat "$work/$1.root"; }
# of IMAGE FILTER: from its settings.
of() { jq -r "$2" "$work/$1.json"; }

# inside IMAGE [NAME=VALUE]... COMMAND...: becomes COMMAND in the image, as its user, with its environment and these values, on a read-only
# root with its volumes, the demo's files at /mnt, this machine's network, and no way to more rights. In a subshell, that a signal
# to it reaches the program. OVER=FOLDER:PLACE lays another folder over one of the image's.
inside() {
    local image=$1 volumes=() environment=() volume value
    shift
    while IFS= read -r volume; do volumes+=("$work/$image$volume:$volume"); done < <(of "$image" '.Volumes | keys[]')
    while IFS= read -r value; do environment+=("$value"); done < <(of "$image" '.Env[]')
    # shellcheck disable=SC2016 # the inner shell expands it
    exec unshare --mount --propagation private bash -euc '
        root=$1 user=$2 demo=$3
        shift 3
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount -t tmpfs -o mode=755 dev "$root/dev"
        for device in null zero full random urandom; do
            touch "$root/dev/$device"
            mount --bind "/dev/$device" "$root/dev/$device"
        done
        mount --bind "$demo" "$root/mnt"
        mount -o remount,bind,ro "$root/mnt"
        while [ "$1" != -- ]; do
            mount --bind "${1%%:*}" "$root${1#*:}"
            shift
        done
        shift
        mount -o remount,bind,ro "$root"
        exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" env -i "$@"' \
        bash "$(root_of "$image")" "$(of "$image" .User)" "$root/deploy/demo" "${volumes[@]}" ${OVER:+"$OVER"} -- "${environment[@]}" "$@"
}

enter() { (inside "$@"); }

# refused WORDS COMMAND...: it fails, and says WORDS.
refused() {
    local words=$1 said
    shift
    if said=$("$@" 2>&1); then fail "this went well and should not have: $*" "it said: $said"; fi
    grep -q "$words" <<<"$said" || fail "this failed otherwise than it should: $*" "it said: $said" "it should say: $words"
}

# --- what is in them ---------------------------------------------------------------------------------------------------

# libraries IMAGE: every program and library of ours and of the wheels, with what the loader finds for it, inside, as the image's user.
libraries() {
    # shellcheck disable=SC2016 # the inner shell expands it
    (inside "$1" bash -euc '
        find /usr/local -type f \( -path "*/bin/*" -o -name "*.so*" \) | while read -r file; do
            echo "$file:"
            ldd "$file"
        done')
}

checks() {
    local image=$1 tree program version found allowed='^$' missing
    tree=$(root_of "$image")
    say "$image"
    note "$(buildah_ images --format '{{.Size}}' "localhost/counterfactory/$image"): $(du -sk --apparent-size "$tree/usr/local/bin" | cut -f1) KiB programs, $(du -skc --apparent-size "$tree"/usr/local/lib/counterfactory 2>/dev/null | tail -n 1 | cut -f1) KiB libraries of wheels, $(du -skx --apparent-size --exclude="$tree/usr/local" "$tree" | cut -f1) KiB Debian and SBOM"

    # What an engine is told.
    [[ $(of "$image" .User) =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || fail "$image runs as '$(of "$image" .User)', which is no number other than root's"
    [ "$(of "$image" .StopSignal)" = SIGTERM ] || fail "$image is not stopped by SIGTERM"
    [ "$(of "$image" '.Healthcheck.Test[0]')" = CMD ] || fail "$image has no health check that runs without a shell"
    program=$(of "$image" '.Entrypoint[0]')
    for program in "$tree"/usr/local/bin/*; do
        program=$(basename "$program")
        version=$( (inside "$image" "$program" --version))
        note "$version, as $( (inside "$image" id --user)):$( (inside "$image" id --group --real))"
        [ "$version" = "$program $(of "$image" '.Labels."org.opencontainers.image.version"')" ] || fail "the label of $image says another version"
    done
    [ "$(of "$image" '.Labels."org.opencontainers.image.revision"')" = "$commit" ] || fail "the label of $image says another revision than $commit"
    for label in title description licenses; do
        [ -n "$(of "$image" ".Labels.\"org.opencontainers.image.$label\" // empty")" ] || fail "$image has no label '$label'"
    done
    ! of "$image" '.Env[]' | grep -q '^LD_' || fail "$image leads the loader by its environment"

    # Nothing that is not asked for: no interpreter or compiler, no headers, no program that changes the user, nothing that its user may
    # write, and no settings of the machine that it was built on.
    found=$(find "$tree" -xdev \( -name 'python*' -path '*bin/*' -o -name 'pip*' -path '*bin/*' -o -name cargo -o -name rustc \
        -o -path '*bin/*' \( -name cc -o -name gcc\* -o -name g++\* -o -name c++\* -o -name ld -o -name as -o -name make -o -name git -o -name curl \) \
        -o -path "$tree/usr/include/*" -o -path "$tree/usr/local/*" \( -name '*.h' -o -name '*.a' -o -name '*.py' \) \))
    [ -z "$found" ] || fail "$image holds what no program of it needs" "$found"
    found=$(find "$tree" -xdev -type f -perm /6000)
    [ -z "$found" ] || fail "$image has programs that change the user" "$found"
    found=$(find "$tree" -xdev \( -user 10001 -o -type d -perm -o+w ! -path "$tree/tmp" ! -path "$tree/var/tmp" ! -path "$tree/run/lock" -o -type f -perm -o+w \) -printf '/%P\n' |
        grep -vxF "$(of "$image" '.Volumes | keys[]')" || true)
    [ -z "$found" ] || fail "the user of $image may write" "$found"
    refused 'Read-only file system' enter "$image" touch /usr/local/bin/x
    refused 'Read-only file system' enter "$image" touch /x
    [ "$(grep -c BEGIN "$tree/etc/ssl/certs/ca-certificates.crt")" -eq "$(grep -c '^[^!#]' "$tree/etc/ca-certificates.conf")" ] ||
        fail "$image trusts other certificates than Debian's"
    [ ! -s "$tree/etc/pip.conf" ] && [ ! -e "$tree/usr/local/cargo" ] || fail "$image holds settings of the machine that it was built on"
    cmp --quiet "$tree/etc/apt/sources.list" "$(root_of_base)/etc/apt/sources.list" || fail "$image has other sources of packages than its base"

    # The loader finds everything, by paths in the files alone. The driver is the host's.
    libraries "$image" >"$work/$image.ldd"
    if [ "$image" = worker-cuda ]; then allowed='^(libcuda|libnvidia-ml)\.so\.1$'; fi
    missing=$(sed -n 's/^\t\(.*\) => not found$/\1/p' "$work/$image.ldd" | sort -u | grep -vE "$allowed" || true)
    [ -z "$missing" ] || fail "$image lacks libraries" "$missing"
    note "$(grep -c ':$' "$work/$image.ldd") programs and libraries of /usr/local: all that they link is found$(sed -n 's/^\t\(.*\) => not found$/, but for \1/p' "$work/$image.ldd" | sort -u)"
}
root_of_base() { cat "$work/base"; }

# The SBOM holds what the image does: Debian's list, the wheels, and the crates that cargo says go into these programs.
inventory() {
    local image=$1 tree
    tree=$(root_of "$image")
    "$images/python/bin/python" - "$tree/usr/share/counterfactory/sbom.json" "$tree" <(cd "$root" && cargo tree --locked --target x86_64-unknown-linux-gnu \
        --edges normal,no-proc-macro --prefix none --format '{p}' "${packages[@]}") <<'PY' || fail "the SBOM of $image is not what the image holds"
import json, pathlib, re, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

file, root, crates = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
text = open(file).read()
bom = json.loads(text)
wrong = JsonStrictValidator(SchemaVersion.from_version(bom["specVersion"])).validate_str(text)
if wrong:
    sys.exit(f"not CycloneDX {bom['specVersion']}: {wrong}")
has = {}
for part in bom["components"]:
    kind = re.match(r"pkg:([a-z]+)/", part.get("purl", ""))
    has.setdefault(kind[1] if kind else part["type"], set()).add((part["name"], part["version"] if "version" in part else ""))
want = {"deb": set(), "pypi": set(), "cargo": set()}
for entry in (root / "var/lib/dpkg/status").read_text().strip().split("\n\n"):
    fields = dict(re.findall(r"^(Package|Version|Status): (.*)$", entry, re.M))
    if fields["Status"].endswith(" installed"):
        want["deb"].add((fields["Package"], fields["Version"]))
for wheel in root.glob("usr/local/lib/counterfactory/*.dist-info/METADATA"):
    fields = dict(re.findall(r"^(Name|Version): (.*)$", wheel.read_text(), re.M))
    want["pypi"].add((fields["Name"], fields["Version"]))
for line in open(crates):
    if line.strip():
        name, version = line.split()[:2]
        want["cargo"].add((name, version.removeprefix("v")))
for kind, wanted in want.items():
    lacking = wanted - has.get(kind, set())
    if lacking:
        sys.exit(f"{kind}: {len(lacking)} of {len(wanted)} are not in it, such as {sorted(lacking)[:5]}")
print(f"    SBOM: valid CycloneDX {bom['specVersion']}; " + ", ".join(f"{len(has.get(kind, ()))} {kind}" for kind in want))
PY
}

say "opening the images"
for name in "${names[@]}"; do open "$name"; done
buildah_ from --pull-never --name proof-base debian:bookworm-slim >/dev/null
mounts+=(base)
buildah_ mount proof-base >"$work/base"
if ! "$images/python/bin/python" -c 'import cyclonedx.validation.json' 2>/dev/null; then
    python3 -m venv "$images/python"
    "$images/python/bin/pip" install --disable-pip-version-check --quiet --only-binary=:all: 'cyclonedx-python-lib[json-validation]==11.12.0' ||
        fail "the validator of SBOMs cannot be fetched; pip's words are above"
fi
for name in "${names[@]}"; do
    checks "$name"
    case $name in
    coordinator) packages=(--package coordinator --package cli) ;;
    *) packages=(--package worker) ;;
    esac
    inventory "$name"
done

# --- what they do ------------------------------------------------------------------------------------------------------

edit=(worker edit --pack /mnt/pack --image /mnt/faces/source/000.png --text "a face with green hair" --method clip-nce --steps 5 --unsigned)
say "an edit without services, in both workers"
for name in worker-cpu worker-cuda; do
    enter "$name" CFX_DEVICE=cpu "${edit[@]}" --device cpu --out /tmp/edited.png >"$work/$name.edit" 2>&1 ||
        fail "$name cannot edit an image" "$(cat "$work/$name.edit")"
    cp "$work/$name/tmp/edited.png" "$work/$name.png"
    note "$name: $(file --brief "$work/$name.png")"
done
# The same picture and record from both, but for the moment.
cmp --quiet "$work/worker-cpu.png" "$work/worker-cuda.png" && note "the same bytes from both"
refused 'cannot be opened' enter worker-cpu "${edit[@]}" --device cuda --out /tmp/edited.png
refused '0 GPUs are visible' enter worker-cuda "${edit[@]}" --device cuda --out /tmp/edited.png
note "asked for a GPU, worker-cpu says that it has no libraries for one, and worker-cuda opens them and says that there is none"

# NVRTC compiles without a GPU, so this much of what is opened by name can be tried: by a program with the worker's own run path.
say "libraries that others open by name, in worker-cuda"
mkdir -p "$work/probe"
cat >"$work/probe.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void *named(void *library, const char *name) {
    void *found = library ? dlsym(library, name) : NULL;
    if (!found) fprintf(stderr, "%s\n", dlerror());
    return found;
}

int main(int count, char **libraries) {
    for (int i = 1; i < count; i++)
        if (!dlopen(libraries[i], RTLD_NOW | RTLD_GLOBAL)) return fprintf(stderr, "%s\n", dlerror()), 1;
    void *nvrtc = dlopen("libnvrtc.so.13", RTLD_NOW);
    int (*create)(void **, const char *, const char *, int, const void *, const void *) = named(nvrtc, "nvrtcCreateProgram");
    int (*compile)(void *, int, const void *) = named(nvrtc, "nvrtcCompileProgram");
    int (*log_of)(void *, char *) = named(nvrtc, "nvrtcGetProgramLog");
    if (!create || !compile || !log_of) return 1;
    void *program;
    char log[65536] = "";
    if (create(&program, "__global__ void twice(float *x) { x[threadIdx.x] *= 2; }", "twice", 0, NULL, NULL)) return 1;
    if (compile(program, 0, NULL)) return log_of(program, log), fprintf(stderr, "%s\n", log), 1;
    puts("a kernel is compiled");
    return 0;
}
C
rpath=$(readelf --dynamic "$(root_of worker-cuda)/usr/local/bin/worker" | sed -n 's/.*(RPATH).*\[\(.*\)\]$/\1/p')
[ -n "$rpath" ] || fail "the worker has no run path"
cc -o "$work/probe/probe" "$work/probe.c" -Wl,--disable-new-dtags,-rpath,"$rpath" -ldl
mapfile -t cudnn < <(cd "$(root_of worker-cuda)" && printf '/%s\n' usr/local/lib/counterfactory/nvidia/cudnn/lib/*.so.9)
said=$(OVER=$work/probe:/usr/local/sbin enter worker-cuda /usr/local/sbin/probe libtorch_cuda.so libtorch_cuda_linalg.so "${cudnn[@]}" 2>&1) ||
    fail "a library that is opened by name cannot be" "$said"
note "$said"

say "the services, a database, a virtual host and a bucket of our own"
"$root/deploy/local/up.sh"
set -a
# shellcheck disable=SC1091 # written by the line above
source "$state/stack.env"
set +a
database=images_$$
psql -qX "$CFX_DATABASE_URL" -c "create database $database"
curl --silent --fail --request PUT "$CFX_BROKER_API/api/vhosts/$database" || fail "RabbitMQ makes no virtual host"
# A folder is a bucket to the server of make up.
bucket=images-$$
mkdir "$state/s3/data/$bucket"
port=$(free_ports 1)
queue=(CFX_BROKER_URL="${CFX_BROKER_URL%/*}/$database")
storage=(CFX_S3_ENDPOINT="$CFX_S3_ENDPOINT" CFX_S3_REGION="$CFX_S3_REGION" CFX_S3_BUCKET="$bucket" CFX_S3_PATH_STYLE=true
    CFX_S3_ACCESS_KEY="$CFX_S3_ACCESS_KEY" CFX_S3_SECRET_KEY="$CFX_S3_SECRET_KEY")
# On loopback, but with keys, as where it listens on more.
server=(CFX_DATABASE_URL="${CFX_DATABASE_URL%/*}/$database" CFX_LISTEN="127.0.0.1:$port" CFX_AUTH=keys)
client=(CFX_SERVER="http://127.0.0.1:$port" CFX_API_KEY_FILE=/var/lib/counterfactory/admin.key)
cfx() { enter coordinator "${client[@]}" cfx "$@"; }

# starts IMAGE [NAME=VALUE]...: what the image does when it is given no command; its pid goes to $started.
starts() {
    local image=$1 line command=()
    shift
    while IFS= read -r line; do command+=("$line"); done < <(of "$image" '(.Entrypoint + .Cmd)[]')
    (inside "$image" "$@" "${command[@]}") >>"$work/$image.log" 2>&1 &
    started=$!
    running+=("$started")
}

# ends IMAGE PID SECONDS: by the signal that its image names, within its grace, and well.
ends() {
    local image=$1 pid=$2 grace=$3 began=$EPOCHREALTIME deadline=$((SECONDS + $3)) code=0
    kill -s "$(of "$image" .StopSignal)" "$pid"
    while kill -0 "$pid" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$image does not end within $grace s" "$(tail -n 5 "$work/$image.log")"
        sleep 0.1
    done
    wait "$pid" || code=$?
    [ "$code" -eq 0 ] || fail "$image ends with $code when it is told to end" "$(tail -n 5 "$work/$image.log")"
    note "$image: SIGTERM, exit code 0 after $(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}') s of $grace"
}

# health IMAGE up|down [NAME=VALUE]...: what the image's own health check says of the service.
health() {
    local image=$1 state=$2 line command=() answer=up
    shift 2
    while IFS= read -r line; do command+=("$line"); done < <(of "$image" '.Healthcheck.Test[1:][]')
    enter "$image" "$@" "${command[@]}" >"$work/$image.health" 2>&1 || answer=down
    [ "$answer" = "$state" ] || fail "$image is $state, and its health check says $answer" "$(cat "$work/$image.health")"
}

# until_true SECONDS WORDS COMMAND...
until_true() {
    local deadline=$((SECONDS + $1)) words=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$words" "logs: $work"
        sleep 0.3
    done
}
answers() { curl --silent --fail --output /dev/null "$1"; }

say "migrate and serve"
enter coordinator "${server[@]}" coordinator migrate >"$work/migrate.log" 2>&1 || fail "the database cannot be migrated" "$(cat "$work/migrate.log")"
health coordinator down "${client[@]}"
starts coordinator "${server[@]}" "${queue[@]}" "${storage[@]}"
coordinator=$started
until_true 60 "the coordinator is not ready" answers "http://127.0.0.1:$port/readyz"
health coordinator up "${client[@]}"
[ "$(stat -c %u:%a "$work/coordinator/var/lib/counterfactory/admin.key")" = 10001:600 ] || fail "the administrator's key is not its user's alone"
note "cfx whoami: $(cfx whoami | head -n 1)"

say "a job of 12 faces for worker-cpu, which is told to end at the first result, and one of 4; worker-cuda, on the CPU, does what is left"
# submit FIRST LAST: a job over these faces.
submit() {
    local face faces=()
    for face in $(seq --format %03.0f "$1" "$2"); do faces+=("/mnt/faces/source/$face.png"); done
    cfx dataset add "faces-$1" "${faces[@]}" >/dev/null 2>&1 || return
    cfx job submit --dataset "faces-$1" --pack facesjs-64 --text "a face with green hair" --method clip-nce 2>/dev/null
}
results() { cfx --json result list "$1" | jq length; }
cfx pack add /mnt/pack >"$work/pack.log" 2>&1 || fail "the pack cannot be registered" "$(cat "$work/pack.log")"
job=$(submit 0 11)
probes=(CFX_METRICS_LISTEN="127.0.0.1:$(free_ports 1)")
health worker-cpu down "${probes[@]}"
starts worker-cpu "${queue[@]}" "${storage[@]}" "${probes[@]}" CFX_THREADS=1
worker=$started
until_true 60 "the worker's probes are silent" answers "http://${probes[0]#*=}/readyz"
health worker-cpu up "${probes[@]}"
some() { [ "$(results "$job")" -gt 0 ]; }
until_true 600 "no result comes" some
ends worker-cpu "$worker" 90
note "results by then: $(results "$job") of 12"
starts worker-cuda "${queue[@]}" "${storage[@]}" "${probes[@]}" CFX_DEVICE=cpu CFX_CLASS=cpu CFX_THREADS=1
worker=$started
for job in "$job" "$(submit 12 15)"; do
    cfx job watch "$job" >"$work/watch.log" 2>&1 || fail "the job does not end well" "$(tail -n 5 "$work/watch.log")"
    cfx result fetch "$job" --to "/tmp/results/$job" >/dev/null
done
cfx verify /tmp/results --pack /mnt/pack --source /mnt/faces/source >"$work/verify.log" 2>&1 || fail "results do not hold" "$(tail -n 20 "$work/verify.log")"
count=$(find "$work/coordinator/tmp/results" -name '*.png' | wc -l)
[ "$count" -eq 16 ] || fail "there are $count results of 16 faces"
note "$count images, each held against its record by cfx verify"
ends worker-cuda "$worker" 90
ends coordinator "$coordinator" 30
health coordinator down "${client[@]}"
say "all of it holds"
