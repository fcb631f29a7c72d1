"""What must hold of docker-compose.yml beyond its schema: compose.py VERSION

That every container is bounded and has a health check or an end, that a service waits for what it needs, that secrets come as files, that
a worker gets the time it takes to end, and that .env.example tells every variable, with the default that the file has."""

import re
import sys

import yaml

TEXT = open("docker-compose.yml").read()
ALONE = {"bucket", "migrate", "dash-reader"}
wrong = []


def variables():
    """NAME: default of every ${NAME:-default}."""
    found = {}
    for name, default in re.findall(r"\$\{([A-Z0-9_]+)(?::-((?:[^{}]|\{[^{}]*\})*))?\}", TEXT):
        if found.setdefault(name, default) != default:
            wrong.append(f"${name} has the defaults '{found[name]}' and '{default}'")
    return found


def seconds(text):
    return sum(int(number) * {"s": 1, "m": 60, "h": 3600}[unit] for number, unit in re.findall(r"(\d+)([smh])", str(text)))


def service(name, one, all_services, secrets):
    say = lambda text: wrong.append(f"{name}: {text}")
    for key, value in {"init": True, "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}.items():
        if one.get(key) != value:
            say(f"{key} is {one.get(key)}")
    for key in ("mem_limit", "pids_limit", "logging"):
        if key not in one:
            say(f"it has no {key}")
    tag = re.sub(r"\$\{[^}]*:-([^}]*)\}", r"\1", one["image"]).rpartition(":")[2]
    if not re.fullmatch(r"v?\d+\.\d+.*", tag):
        say(f"the image {one['image']} has no version")
    if one["image"].startswith("counterfactory/") and tag != sys.argv[1]:
        say(f"the image is not of version {sys.argv[1]}")
    if name in ALONE:
        if one.get("restart") != "no":
            say("it ends, and is not to be started again")
    elif "healthcheck" not in one or one.get("restart") != "unless-stopped":
        say("it runs for ever, and needs a health check and a restart")
    for other, how in one.get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in ALONE else "service_healthy"
        if other not in all_services or how["condition"] != expected:
            say(f"it waits for {other} by {how['condition']}")
        if "profiles" in all_services[other] and not set(one.get("profiles", [])) & set(all_services[other]["profiles"]) and how.get("required", True):
            say(f"it needs {other}, which only some profiles start")
    mounted = {"/run/secrets/" + (s if isinstance(s, str) else s["source"]) for s in one.get("secrets", [])}
    environment = one.get("environment", {})
    for key, value in environment.items():
        if key.endswith("_FILE") and value not in mounted:
            say(f"{key} is {value}, which is not among its secrets")
        if re.search(r"(PASSWORD|SECRET|_KEY|TOKEN)$", key) or re.search(r"://[^/]*:[^/]*@", str(value)):
            say(f"{key} is a secret in the environment")
    for path in mounted:
        if path.rpartition("/")[2] not in secrets:
            say(f"the secret {path} is not declared")
    for port in one.get("ports", []):
        host = port.get("host_ip", "") if isinstance(port, dict) else str(port)
        if "127.0.0.1" not in host:
            say(f"the port {port} is open to others than this machine by default")
    if name.startswith("worker"):
        if "database_url" in str(one) or "admin_key" in str(one):
            say("a worker has no business with the database")
        if seconds(one["stop_grace_period"]) < int(environment["CFX_GRACE_SECONDS"]) + 30:
            say("it is killed before its grace is over and what is finished is uploaded")
        if one["healthcheck"]["test"] != ["CMD", "worker", "health"] or not environment.get("CFX_METRICS_LISTEN"):
            say("its health is not asked for")
        if (one["image"].find("worker-cuda") > 0) != ("devices" in str(one["deploy"])) or ("cuda" == environment["CFX_DEVICE"]) != ("devices" in str(one["deploy"])):
            say("image, device and reservation do not agree on a GPU")
    # twenty seconds for requests and twenty for loops
    if name == "coordinator" and (seconds(one["stop_grace_period"]) < 45 or one["deploy"]["replicas"] < 2):
        say("it is killed before it has ended, or there is only one")


def example(found):
    told = dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", open(".env.example").read(), re.MULTILINE))
    told.pop("COMPOSE_PROFILES", None)
    for name in sorted(found.keys() - told.keys()):
        wrong.append(f".env.example does not tell {name}")
    for name in sorted(told.keys() - found.keys()):
        wrong.append(f".env.example tells {name}, which docker-compose.yml does not read")
    for name in sorted(found.keys() & told.keys()):
        if found[name] != told[name]:
            wrong.append(f".env.example says that {name} is '{told[name]}' by default, and it is '{found[name]}'")


def main():
    parts = yaml.safe_load(TEXT)
    for name, one in parts["services"].items():
        service(name, one, parts["services"], parts["secrets"])
    volumes = {v.split(":")[0] for one in parts["services"].values() for v in one.get("volumes", []) if isinstance(v, str) and v[0] not in "./"}
    if volumes != set(parts["volumes"]):
        wrong.append(f"volumes are used and not declared, or the other way round: {volumes ^ set(parts['volumes'])}")
    made = set(re.findall(r"(?:once|write) ([a-z0-9_]+) ", open("deploy/secrets.sh").read()))
    if missing := set(parts["secrets"]) - made:
        wrong.append(f"deploy/secrets.sh does not make {sorted(missing)}")
    example(variables())
    for line in wrong:
        print(f"error: docker-compose.yml: {line}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
