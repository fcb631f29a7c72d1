"""deploy/SETTINGS.md, made of what the programs' own --help says: settings.py BINARIES [--write]

Without --write it is held against the file, and then every name like CFX_SERVER in the files of an installation and in the documentation
against the table, every name that the sources read likewise, and what the programs cannot start without against what is set for them."""

import os
import pathlib
import re
import subprocess
import sys

import yaml

TABLE = pathlib.Path("deploy/SETTINGS.md")
NAME = re.compile(r"\b(?:CFX|OTEL|OPENLINEAGE)_[A-Z0-9_]*[A-Z0-9]\b")

# Read by the programs where no flag stands for them.
WITHOUT_FLAG = {
    "CFX_API_KEY": ("cfx", "An API key. In place of the profile's."),
    "CFX_API_KEY_FILE": ("cfx", "A file that holds it."),
    "CFX_STATE_DIR": ("cfx", "Where an export to a bucket remembers how far it is. [default: counterfactory in $XDG_STATE_HOME or ~/.local/state]"),
    "CFX_EXPORT_S3_ENDPOINT": ("cfx", "The store that exports to s3:// are written to, where it is not AWS; its keys are the usual AWS_*."),
    "CFX_IMAGE_DIGEST": ("worker", "The image that the worker runs from, for each record; whoever deploys knows it."),
    "CFX_CRASH_AT": ("coordinator, worker", "For tests of the project: a point in the program at which it ends at once."),
    "CFX_CRASH_ON": ("coordinator, worker", "For tests of the project: an item that ends the program at once."),
}
# Read by the compiler, so they are part of the program and not of its surroundings.
BUILT_IN = {"CFX_COMMIT", "CFX_RUSTC", "CFX_LOCKFILE_SHA256"}
# Names that belong to no program of this project, each with who reads it.
OTHERS = {
    "CFX_BROKER_API": "deploy/local/env.sh: RabbitMQ's management API of the private stack, for tests",
    "CFX_DASH_DATABASE": "Grafana's data sources (deploy/grafana/provisioning)",
    "CFX_DASH_HOST": "Grafana's data sources",
    "CFX_DASH_PASSWORD": "Grafana's data sources",
    "CFX_DASH_SSLMODE": "Grafana's data sources",
    "CFX_DASH_USER": "Grafana's data sources",
    "CFX_PROMETHEUS_URL": "Grafana's data sources",
    "CFX_BIN": "deploy/demo and deploy/python: where the binaries are",
    "CFX_CLI": "deploy/python: the cfx that verifies",
    "CFX_DEBIAN_MIRROR": "deploy/local/rabbitmq4.sh",
    "CFX_FACESJS": "`train-pack`: where the library is that draws faces",
    "CFX_LOCAL_S3": "deploy/local/s3.sh",
    "CFX_RABBITMQ_ROOT": "deploy/local/rabbitmq4.sh",
    "CFX_TEST_BROKER_API": "tests that bring a broker of their own",
    "CFX_TEST_BROKER_URL": "tests that bring a broker of their own",
}
# Folders and files whose names are held against the table.
TOLD = ["docker-compose.yml", ".env.example", "README.md", "deploy"]
IGNORED = re.compile(r"^deploy/(local/|python/|demo/|docker/(?!.*Dockerfile)|openapi|screenshots/|SETTINGS\.md|k8s/overlays/dev/secrets/)")

class Setting:
    def __init__(self, name, flag, text):
        self.name, self.flag, self.programs = name, flag, []
        default = re.search(r"\[default: (.*?)\](?= |$)", text)
        self.default = default.group(1) if default else ""
        self.text = re.sub(r" *\[default: .*?\](?= |$)", "", text).strip()


def help_of(binary, verbs):
    clean = {"PATH": os.environ["PATH"], "COLUMNS": "500"}
    done = subprocess.run([binary, *verbs, "--help"], env=clean, capture_output=True, text=True, check=True)
    return done.stdout


def settings_of(text):
    """(environment variable, flag, meaning) of every option in a help text, whichever of clap's two layouts it has."""
    parts = re.split(r"(?m)^ {2,6}(?:-\w, |    )?--([a-z0-9-]+)", text)
    for flag, body in zip(parts[1::2], parts[2::2], strict=True):
        body = re.split(r"\n\S", body)[0]
        variable = re.search(r"\[env:\s+([A-Z0-9_]+)=?[^\]]*\]", body)
        if variable:
            body = re.sub(r"^ ?(=?<[^>]*>|\[=?<[^>]*>\])?(\.\.\.)?", "", re.split(r"\n +Possible values:", body)[0])
            yield variable.group(1), flag, re.sub(r" *\[(env|possible values): [^\]]*\]", "", " ".join(body.split()))


def verbs_of(text):
    section = re.search(r"(?ms)^Commands:\n(.*?)(?:\n\S|\Z)", text)
    return [v for v in re.findall(r"(?m)^  ([a-z][a-z0-9-]*)\b", section.group(1)) if v != "help"] if section else []


def walk(binary, verbs=()):
    text = help_of(binary, verbs)
    yield from ((name, flag, words, verbs) for name, flag, words in settings_of(text))
    for verb in verbs_of(text):
        yield from walk(binary, (*verbs, verb))


def gather(binaries):
    found = {}
    for program in ("coordinator", "worker", "cfx"):
        for name, flag, words, verbs in walk(str(binaries / program)):
            setting = found.setdefault(name, Setting(name, flag, words))
            # what `serve` and `run` take is the service's; a verb that takes more is named
            whole = program if not verbs or verbs in {("serve",), ("run",)} else f"{program} {' '.join(verbs)}"
            if program not in setting.programs and whole not in setting.programs:
                setting.programs.append(whole)
    for setting in found.values():
        services = {p for p in setting.programs if " " not in p}
        setting.programs = [p for p in setting.programs if p in services or p.split()[0] not in services]
    if len(found) < 50:
        sys.exit(f"error: only {len(found)} settings were found in the programs' help")
    return found


def needed(binaries, program, verb):
    """What a program says that it cannot start without, one after the other."""
    env, found = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}, []
    while True:
        try:
            done = subprocess.run([str(binaries / program), verb], env=env, capture_output=True, text=True, timeout=5)
        except subprocess.TimeoutExpired:
            return found
        missing = re.search(r"is not set; give --[a-z0-9-]+, or ([A-Z0-9_]+) in the environment", done.stderr)
        if not missing or missing.group(1) in env:
            return found
        found.append(missing.group(1))
        # an address that refuses at once; the next thing that is missing is told before it is asked
        env[missing.group(1)] = "postgres://127.0.0.1:1/none" if "DATABASE" in missing.group(1) else "amqp://127.0.0.1:1"


def render(found, required):
    lines = [
        "# Settings",
        "",
        "Made of what the programs' `--help` says, by `make deploy-settings`; `make deploy-check` holds the two against each other.",
        "",
        "A setting is given as a flag, in the environment, or in the TOML file that `--config` names (the flag's name, with underscores); what",
        "stands first wins. Where a file is named, the value may lie in one instead: the name with `_FILE` at its end, for secrets that are",
        "mounted. The tables `[limits]` and `[tuning]` of the coordinator's file have no other form; their keys, defaults and reasons are in",
        "`services/coordinator/src/config/limits.rs` and `tuning.rs`.",
        "",
        "Without these a program does not start: " + "; ".join(f"`{p}`: {', '.join(f'`{n}`' for n in names)}" for p, names in required.items()) + ".",
        "",
        "| setting | flag | read by | default | file | meaning |",
        "|---|---|---|---|---|---|",
    ]
    escaped = lambda text: text.replace("|", "\\|")
    for name, setting in sorted(found.items()):
        base = name.removesuffix("_FILE")
        if base != name and base in found:
            continue
        file = f"`{name}_FILE`" if f"{name}_FILE" in found else ""
        text = setting.text
        if text == "The same as a text":
            text = found[f"{name}_FILE"].text.removeprefix("A file with ")
            text = text[:1].upper() + text[1:]
        lines.append(
            f"| `{name}` | `--{setting.flag}` | {', '.join(setting.programs)} | {escaped(setting.default)} | {file} | {escaped(text.rstrip('.'))}. |"
        )
    lines += ["", "Read where no flag stands for them:", "", "| setting | read by | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {program} | {escaped(text)} |" for name, (program, text) in sorted(WITHOUT_FLAG.items())]
    lines += ["", "Names of the same kind that belong to no program:", "", "| name | read by |", "|---|---|"]
    lines += [f"| `{name}` | {who} |" for name, who in sorted(OTHERS.items())]
    return "\n".join(lines) + "\n"


def files():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *TOLD], capture_output=True, text=True, check=True).stdout.split("\n")
    for path in filter(None, listed):
        if not IGNORED.match(path) and pathlib.Path(path).is_file():
            try:
                yield path, pathlib.Path(path).read_text()
            except UnicodeDecodeError:
                continue


def names(found, wrong):
    known = set(found) | set(WITHOUT_FLAG) | set(OTHERS) | BUILT_IN
    for path, text in files():
        for name in sorted(set(NAME.findall(text)) - known):
            # a beginning that stands for a family: CFX_S3_{BUCKET,...}
            if not re.search(rf"\b{name}_\{{", text):
                wrong.append(f"{path} names {name}, which no program reads")
    sources = [*pathlib.Path("services").rglob("src/**/*.rs"), *pathlib.Path("shared").rglob("src/**/*.rs")]
    read = {}
    for path in sources:
        for name in re.findall(r'(?:env = |var(?:_os)?\(|option_env!\(|\[)"((?:CFX|OTEL|OPENLINEAGE)_[A-Z0-9_]+)"', path.read_text()):
            read.setdefault(name, path)
    for name in sorted(read.keys() - known):
        wrong.append(f"{read[name]} reads {name}, which deploy/SETTINGS.md does not have")
    for name in sorted((WITHOUT_FLAG.keys() | BUILT_IN) - read.keys()):
        wrong.append(f"{name} is told in tests/deploy/settings.py, and no source reads it")


def given(required, wrong):
    """That what a program needs is set for it where it is started, and told in .env.example."""
    compose = yaml.safe_load(open("docker-compose.yml"))["services"]
    starts = {("docker-compose.yml", name): set(one.get("environment", {})) for name, one in compose.items()}
    shared = set(re.findall(r"(?m)^([A-Z0-9_]+)=", open("deploy/k8s/base/settings.env").read()))
    for program in ("coordinator", "worker"):
        for thing in yaml.safe_load_all(open(f"deploy/k8s/base/{program}.yaml")):
            if thing["kind"] == "Deployment":
                (container,) = thing["spec"]["template"]["spec"]["containers"]
                starts["deploy/k8s/base", program] = shared | {one["name"] for one in container["env"]}
    example = open(".env.example").read()
    for (where, service), variables in starts.items():
        for name in required.get(service.split("-")[0], []):
            if not {name, f"{name}_FILE"} & variables:
                wrong.append(f"{where}: {service} is not given {name}, which it needs")
    for name in {name for names in required.values() for name in names}:
        if name not in example:
            wrong.append(f".env.example does not tell {name}, without which nothing starts")


def main():
    binaries = pathlib.Path(sys.argv[1])
    found = gather(binaries)
    required = {"coordinator": needed(binaries, "coordinator", "serve"), "worker": needed(binaries, "worker", "run")}
    if len(required["coordinator"]) < 4 or len(required["worker"]) < 3:
        sys.exit(f"error: the programs do not say what they need any more: {required}")
    text = render(found, required)
    if "--write" in sys.argv:
        TABLE.write_text(text)
    wrong = []
    if not TABLE.is_file() or TABLE.read_text() != text:
        wrong.append(f"{TABLE} is not what the programs say of themselves; run: make deploy-settings, and look at what changed")
    names(found, wrong)
    given(required, wrong)
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"    {len(found)} settings; needed: {', '.join(required['coordinator'])}")


main()
