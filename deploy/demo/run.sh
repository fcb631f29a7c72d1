#!/usr/bin/env bash
# The demo job: 128 held-out faces, three counterfactual texts by trained mappers, 24 faces by per-image optimisation. Needs
# the private stack and the binaries (`make demo` sees to both). Safe to repeat: an interrupted run goes on where it stopped,
# a finished one only reports again. DEMO_FRESH=1 submits a new job.
source "$(dirname "${BASH_SOURCE[0]}")/../local/stack.sh"

demo=$root/deploy/demo
out=$state/demo
bin=${CFX_BIN:-$root/target/debug}

"$root/deploy/local/services.sh" start "${DEMO_WORKERS:-2}"
CFX_SERVER=$("$root/deploy/local/services.sh" server)
export CFX_SERVER
cfx() { "$bin/cfx" "$@"; }

say "registering the pack and the faces"
cfx pack add "$demo/pack" >/dev/null
cfx dataset add train "$demo/train"
cfx dataset add faces "$demo/faces/faces.jsonl"

say "submitting deploy/demo/job.toml"
key=demo-$(cat "$demo/job.toml" "$demo/pack/pack.toml" "$demo/faces/faces.jsonl" | sha256sum | cut -c1-16)
if [ -n "${DEMO_FRESH:-}" ]; then key=$key-$(date +%s); fi
job=$(cfx job submit "$demo/job.toml" --idempotency-key "$key")
say "watch it in a browser too: $CFX_SERVER/jobs/$job"
watched=0
cfx job watch "$job" || watched=$?
if [ "$watched" -ne 0 ] && [ "$watched" -ne 3 ]; then
    fail "the demo job did not end well (exit code $watched)" "what happened: cfx job tasks $job --state dead --server $CFX_SERVER" \
        "logs: .local/log/coordinator.log .local/log/worker-1.log"
fi

say "fetching the results and holding each against its record"
mkdir -p "$out"
results=$out/results/$job
cfx result fetch "$job" --to "$results" --reconstructions >/dev/null
cfx job status "$job" --json >"$out/job.json"
python3 -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=30).read())' \
    "$CFX_SERVER/v1/workers" >"$out/workers.json"
edits=()
for folder in "$results"/*/; do
    [ "$(basename "$folder")" = reconstructions ] || edits+=("$folder")
done
cfx verify "${edits[@]}" --pack "$demo/pack" --source "$demo/faces/source" --json >"$out/verified.json" ||
    fail "a result does not match its record" "see $(shown "$out/verified.json")"

"$bin/demo-report" --job "$out/job.json" --workers "$out/workers.json" --results "$results" --faces "$demo/faces" --out "$out"
cat <<TEXT
verified       every image against its record, its source and the pack's weights
gallery        $CFX_SERVER/jobs/$job/gallery
ask a picture  $(shown "$bin/cfx") inspect $(shown "$(find "${edits[0]}" -name '*.png' | sort | head -n 1)")
stop it all    make down
TEXT
exit "$watched"
