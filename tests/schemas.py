"""Holds the published schemas to what Muster accepts.

    python3 -m venv target/python && target/python/bin/pip install jsonschema pyyaml
    target/python/bin/python tests/schemas.py

Every definition that `muster check` accepts must be valid by the schema, and so must the manifest of every
pack that it compiles to and of every module in Rust that was built; what the schema is meant to catch must be invalid by both.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
MUSTER = ROOT / "target" / "release" / "muster"
SECTION = b"muster:manifest"

ACCEPTED = [
    *sorted((ROOT / "examples").glob("*/*.yaml")),
    *sorted((ROOT / "tests" / "data").glob("*.yaml")),
]
REFUSED = [
    "{ event: purchase, median: 3 }",
    "{ event: purchase, within: 3 fortnights }",
    "{ event: purchase, count: { starts_with: a } }",
    "{ event: purchase, count: 1, distinct: 2, of: item }",
    "{ any: [] }",
    "{ all: [{ event: a }], any: [{ event: b }] }",
    "{ profile: {} }",
    "{ event: purchase, with: { amount: [1, 2] } }",
    "{ event: purchase, between: { from: 2026-01-01 } }",
]


class Text(yaml.SafeLoader):
    """Dates stay text, as they are in JSON."""


Text.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def schema(of):
    text = subprocess.run([MUSTER, "schema", of], check=True, capture_output=True).stdout
    found = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def accepts(path):
    return subprocess.run([MUSTER, "check", path], capture_output=True).returncode == 0


def manifests(path, folder):
    subprocess.run([MUSTER, "compile", path, "--out", folder], check=True, capture_output=True)
    for component in sorted(pathlib.Path(folder).glob("*.wasm")):
        yield embedded(component)


def embedded(component):
    data = component.read_bytes()
    at = data.rindex(SECTION) + len(SECTION)
    return json.JSONDecoder().raw_decode(data[at:].decode("utf-8", "ignore"))[0]


def main():
    definition, manifest = schema("definition"), schema("manifest")
    problems, checked = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for path in ACCEPTED:
            if not accepts(path):
                problems.append(f"{path} is refused by `muster check`")
            for error in definition.iter_errors(yaml.load(path.read_text(), Text)):
                problems.append(f"{path}: {error.message}")
            for found in manifests(path, folder):
                checked += 1
                problems += [f"manifest of {path}: {e.message}" for e in manifest.iter_errors(found)]
        for component in sorted((ROOT / "examples/target/muster").glob("*.wasm")):
            checked += 1
            found = manifest.iter_errors(embedded(component))
            problems += [f"manifest of {component.name}: {e.message}" for e in found]
        for rule in REFUSED:
            text = f"audiences: [{{ id: a, where: {rule} }}]"
            path = pathlib.Path(folder) / "refused.yaml"
            path.write_text(text)
            if accepts(path) or definition.is_valid(yaml.load(text, Text)):
                problems.append(f"accepted: {rule}")
    print("\n".join(problems[:20]))
    print(f"{len(ACCEPTED)} files, {checked} manifests, {len(REFUSED)} refusals: {len(problems)} problems")
    sys.exit(1 if problems or not checked else 0)


if __name__ == "__main__":
    main()
