"""Starts the programs with exactly what Compose and the overlays give them: starts.py BINARIES RENDERED.yaml...

In place of the secrets there are files with addresses that refuse at once. A program that understood all of its settings gets as far as to
ask Postgres or RabbitMQ; one that did not says so. Nothing else is started, and what was is ended. A GPU is asked for by name only, since
there may be none here, and what is listened on is a free port of this machine."""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import yaml

# What each says once its settings are understood.
REACHED = {"coordinator serve": "cannot reach Postgres", "coordinator migrate": "cannot reach Postgres", "worker run": "the worker is up"}
SECONDS = 60


def of_compose():
    text = re.sub(r"\$\{[A-Z0-9_]+:-((?:[^{}]|\{[^{}]*\})*)\}", r"\1", pathlib.Path("docker-compose.yml").read_text())
    for name, one in yaml.safe_load(text)["services"].items():
        if one["image"].startswith("counterfactory/"):
            program = one["image"].split("/")[1].split(":")[0].split("-")[0]
            verb = one.get("command", ["run" if program == "worker" else "serve"])
            # what Compose puts in place of an empty default is an empty text
            values = {key: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for key, value in one["environment"].items()}
            yield f"docker-compose.yml {name}", f"{program} {' '.join(verb)}", values


def asked_for_health():
    """Commands of our own programs that Compose asks containers by."""
    for name, one in yaml.safe_load(pathlib.Path("docker-compose.yml").read_text())["services"].items():
        if one["image"].startswith("counterfactory/") and "healthcheck" in one:
            yield name, one["healthcheck"]["test"][1:]


def of_rendered(path):
    things = [thing for thing in yaml.safe_load_all(pathlib.Path(path).read_text()) if thing]
    maps = {thing["metadata"]["name"]: thing["data"] for thing in things if thing["kind"] == "ConfigMap"}
    for thing in things:
        if thing["kind"] != "Deployment":
            continue
        spec = thing["spec"]["template"]["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            if "args" not in container:
                continue
            values = {}
            for source in container.get("envFrom", []):
                values |= maps[source["configMapRef"]["name"]]
            values |= {variable["name"]: variable["value"] for variable in container["env"]}
            yield f"{pathlib.Path(path).stem} {container['name']}", f"{thing['metadata']['name']} {' '.join(container['args'])}", values


def start(binaries, what, command, given):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        values = dict(given)
        for key in list(values):
            if key.endswith("_FILE"):
                file = folder / key
                file.write_text({"CFX_DATABASE_URL_FILE": "postgres://127.0.0.1:1/none", "CFX_BROKER_URL_FILE": "amqp://127.0.0.1:1"}.get(key, "none"))
                values[key] = str(file)
        if not re.fullmatch(r"cpu|cuda(:\d+)?", values.get("CFX_DEVICE", "cpu")):
            return f"{what}: CFX_DEVICE is {values['CFX_DEVICE']}"
        values |= {key: new for key, new in {"CFX_DEVICE": "cpu", "CFX_METRICS_LISTEN": "127.0.0.1:0", "CFX_CACHE_DIR": name}.items() if key in values}
        if values.get("CFX_POD_DELETION_COST") == "true":
            values |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
        program, verb = command.split(" ", 1)
        log = folder / "log"
        with log.open("w") as output:
            environment = {"PATH": os.environ["PATH"], **values}
            process = subprocess.Popen([binaries / program, *verb.split()], env=environment, stdout=output, stderr=output, cwd=name)
        try:
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                ended = process.poll() is not None
                if REACHED[command] in log.read_text():
                    return None
                if ended:
                    break
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
        return f"{what}: {command} does not understand what it is given:\n{log.read_text().strip()[-600:]}"


def main():
    binaries = pathlib.Path(sys.argv[1]).resolve()
    given = {}
    for what, command, values in [*of_compose(), *(one for path in sys.argv[2:] for one in of_rendered(path))]:
        # what several overlays give alike is tried once
        given.setdefault((command, tuple(sorted(values.items()))), what)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        tried = list(pool.map(lambda one: start(binaries, given[one], one[0], dict(one[1])), given))
    wrong = [line for line in tried if line]
    for name, (program, *verb) in asked_for_health():
        if subprocess.run([binaries / program, *verb, "--help"], capture_output=True).returncode:
            wrong.append(f"docker-compose.yml {name}: `{program} {' '.join(verb)}` is no command")
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if wrong or len(tried) < 6:
        sys.exit(1)
    print(f"    {len(tried)} starts with what Compose and the overlays give")


main()
