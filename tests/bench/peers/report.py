"""The table for people, out of what was measured."""


def _number(entry, part, key):
    if part not in entry:
        return "failed" if part in entry.get("failures", {}) else "–"
    value = entry[part][key]
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _recovery(kills):
    told = kills["recovery_s"]
    if not kills["interrupted"]:
        return "none interrupted"
    late = told["not_within_patience"]
    if late:
        return f"{late} of {kills['interrupted']} not within {kills['patience_s']} s"
    return f"{told['worst']:.2f}"


def _kills(entry, part):
    if part not in entry:
        return ["failed" if part in entry.get("failures", {}) else "–"] * 7
    kills = entry[part]
    return [
        str(kills["interrupted"]), str(kills["lost"]), str(kills["stuck"]), str(kills["duplicate_effects"]),
        str(kills["held_with_effect"]), _recovery(kills),
        f"{max(0, kills['last_effect_after_last_kill_s']):.1f}",
    ]


def _table(head, rows):
    lines = [" | ".join(head), " | ".join(["---"] + ["---:"] * (len(head) - 1))]
    return "\n".join(f"| {line} |" for line in [*lines, *(" | ".join(row) for row in rows)])


def text(document):
    """The page."""
    peers, rules, machine = document["peers"], document["rules"], document["machine"]
    rates = [
        [
            peer["name"], _number(peer, "0ms", "enqueue_per_s"), _number(peer, "0ms", "tasks_per_s"),
            _number(peer, "50ms", "tasks_per_s"), _number(peer, "0ms_own_layout", "tasks_per_s"),
        ]
        for peer in peers
    ]
    own = rules["own_layout"]
    kill_head = [
        "system", "interrupted", "lost", "stuck", "duplicate effects", "duplicates to come", "recovery, worst (s)",
        "last effect after last kill (s)",
    ]
    kills = {
        pause: _table(kill_head, [[peer["name"], *_kills(peer, f"kills_{pause}")] for peer in peers]) for pause in ("50ms", "0ms")
    }
    notes = "\n".join(f"- **{peer['name']}** ({peer['versions']}): {peer['configuration']}." for peer in peers)
    failures = "\n".join(
        f"- {peer['name']}, {what}: `{' '.join(why.split())}`" for peer in peers for what, why in peer.get("failures", {}).items()
    )
    return f"""# Side by side

Written by `make peers` ({machine["when"]}, {machine["cores"]} cores, load {machine["load_before"]} before and {machine["load_after"]}
after, {machine["minutes"]} minutes; {machine["servers"]}). All numbers: [peers.json](peers.json).

Every system gets {rules["processes"]} worker processes with {rules["slots"]} slot each, because Counterfactory's worker owns one
device and does one task at a time. All tasks are enqueued before the workers start, by one producer in the system's own bulk way. An
effect is {rules["effect"]}.

## Tasks per second

From the first effect to the last; medians of {rules["repeats"]}. {rules["tasks_of_50ms"]} tasks of 50 ms (at most
{rules["processes"] * rules["slots"] * 20} a second in {rules["processes"] * rules["slots"]} slots); of 0 ms as many as keep a system busy
for some seconds. The last column, one run, gives the others what they are built for: {own["processes"]} processes with
{", ".join(f"{slots} ({name})" for name, slots in own["slots"].items() if slots > 1)} slots each.

{_table(["system", "enqueued/s", "0 ms", "50 ms", "0 ms, own layout"], rates)}

## Workers killed

SIGKILL to a worker with all its children, a new one at once. *Interrupted*: tasks that the killed worker had begun and that had no
effect yet. *Lost*: without effect, and the system holds it no longer. *Stuck*: without effect {rules["patience_s"]} s after the last
kill, held by the system until a later time-out of its own. *Duplicates to come*: with an effect, and held at the end, so done again after
that time-out. *Recovery*: from the kill to the effect of the interrupted tasks. *Last
effect*: when all was through, with what the killed worker held and had not begun.

{rules["kill_tasks_of_50ms"]} tasks of 50 ms, kills {", ".join(map(str, rules["kills_at_s"]["50ms"]))} s after the first effect:

{kills["50ms"]}

Tasks of 0 ms, kills {", ".join(map(str, rules["kills_at_s"]["0ms"]))} s after the first effect:

{kills["0ms"]}

A duplicate effect of Counterfactory would be a second row of one task; a stale worker's finish changes no row. What a killed worker had
begun is done again there as elsewhere (`begun_again` in peers.json).

## Configuration

{notes}
{f"{chr(10)}## Failures{chr(10)}{chr(10)}{failures}{chr(10)}" if failures else ""}"""
