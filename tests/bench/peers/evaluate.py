"""What the lines of an effects file say. It is the same for every system that is measured."""

from collections import Counter, defaultdict


class Effects:
    """The lines up to now: `E task process nanoseconds` for an effect, `S ...` for a beginning."""

    def __init__(self, path):
        self._path, self._read = path, 0
        self.ends, self.begins = [], []

    def update(self):
        """Reads what has come since."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return self
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            what, no, process, at = line.split()
            (self.ends if what == "E" else self.begins).append((int(no), int(process), int(at) / 1e9))
        return self

    def tasks(self):
        """How many tasks have had an effect."""
        return len({no for no, _, _ in self.ends})

    def first(self):
        """When the first effect came."""
        return min(at for _, _, at in self.ends)

    def last(self):
        """When the last effect came."""
        return max(at for _, _, at in self.ends)


def rate(effects, count):
    """Tasks per second from the first effect to the last; of those there are, if the time was up."""
    seconds = effects.last() - effects.first()
    done = effects.tasks()
    return {"tasks": done, "of": count, "seconds": round(seconds, 3), "tasks_per_s": round((done - 1) / seconds, 1)}


def survived(effects, count, kills, left, patience, ideal_per_s):
    """What a kill schedule did. `kills` are (process group's processes, time); `left` is what the system itself still holds."""
    first_effect = {}
    for no, _, at in sorted(effects.ends, key=lambda end: end[2]):
        first_effect.setdefault(no, at)
    by_process = defaultdict(set)
    for no, process, _ in effects.begins:
        by_process[process].add(no)
    ended_by = defaultdict(set)
    for no, process, _ in effects.ends:
        ended_by[process].add(no)
    recovery, interrupted = [], 0
    for processes, at in kills:
        held = set().union(*(by_process[process] - ended_by[process] for process in processes))
        interrupted += len(held)
        recovery += [first_effect[no] - at if no in first_effect else None for no in held]
    came = [seconds for seconds in recovery if seconds is not None]
    missing = count - len(first_effect)
    last_kill = max(at for _, at in kills)
    begun = Counter(no for no, _, _ in effects.begins)
    return {
        "tasks": count,
        "kills": len(kills),
        "kills_amid_work": sum(1 for _, at in kills if at < effects.last()),
        "interrupted": interrupted,
        "lost": max(0, missing - left),
        "stuck": min(missing, left),
        "held_with_effect": max(0, left - missing),
        "duplicate_effects": len(effects.ends) - len(first_effect),
        "begun_again": sum(times - 1 for times in begun.values()),
        "recovery_s": {
            "median": round(sorted(came)[len(came) // 2], 2) if came else None,
            "worst": round(max(came), 2) if came and len(came) == len(recovery) else None,
            "not_within_patience": len(recovery) - len(came),
        },
        "patience_s": patience,
        "last_effect_after_last_kill_s": round(effects.last() - last_kill, 2),
        "ideal_s": round((sum(1 for at in first_effect.values() if at > last_kill) + missing) / ideal_per_s, 2) if ideal_per_s else None,
    }
