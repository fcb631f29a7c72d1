"""Every object of rendered manifests against its type, strictly: schemas.py CRDS.mts RENDERED.yaml...

Kubernetes' own kinds by kubernetes-validate, which refuses keys that it does not know. The kinds of KEDA and of Prometheus's operator have
their types in packages of npm: they are written into CRDS.mts as literals, which the compiler of TypeScript reads as strictly, and which
are then validated by running it (check.sh does both). Kueue's and RabbitMQ's are held against schemas/others.json. A kind that none of
them knows is an error."""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

MODULES = {
    "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
    "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
}
OTHERS = json.loads((pathlib.Path(__file__).parent / "schemas/others.json").read_text())


def main():
    target, *paths = sys.argv[1:]
    others = jsonschema.Draft202012Validator(OTHERS)
    wrong, kinds, calls, known = [], {}, [], 0
    for path in paths:
        for thing in yaml.safe_load_all(pathlib.Path(path).read_text()):
            if not thing:
                continue
            version, kind = thing["apiVersion"], thing["kind"]
            name = f"{pathlib.Path(path).stem}: {kind}/{thing['metadata']['name']}"
            if version in MODULES:
                kinds.setdefault(MODULES[version], set()).add(kind)
                literal = {key: value for key, value in thing.items() if key not in ("apiVersion", "kind")}
                calls.append(f"check({json.dumps(name)}, new {kind}({json.dumps(literal)}));")
            elif version in OTHERS["properties"]["apiVersion"]["enum"]:
                for error in others.iter_errors(thing):
                    wrong.append(f"{name}: {error.json_path} {error.message}")
            else:
                try:
                    kubernetes_validate.validate(thing, "1.37", strict=True)
                except kubernetes_validate.SchemaNotFoundError:
                    wrong.append(f"{name}: there is no type for {version} {kind}")
                except kubernetes_validate.ValidationError as error:
                    wrong.append(f"{name}: {'.'.join(map(str, error.path))} {error.message}")
            known += 1
    imports = [f'import {{ {", ".join(sorted(names))} }} from "{module}";' for module, names in sorted(kinds.items())]
    check = """let wrong = 0;
function check(name: string, object: { validate(): void }) {
    try {
        object.validate();
    } catch (error) {
        wrong += 1;
        console.error(`error: ${name}: ${error}`);
    }
}"""
    end = "process.exit(wrong ? 1 : 0);"
    pathlib.Path(target).write_text("\n".join([*imports, "declare const process: { exit(code: number): never };", check, *calls, end, ""]))
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if wrong or not known:
        sys.exit(1)
    print(f"    {known} objects of {len(paths)} renderings")


main()
