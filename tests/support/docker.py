"""What `integrations/docker` says."""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "integrations" / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = re.sub(r"\\\n", "", (FOLDER / "Dockerfile").read_text())


def instructions(name):
    """The arguments of each such line of the Dockerfile."""
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def command():
    """What the container runs: words, not a shell."""
    (text,) = instructions("CMD")
    return json.loads(text)


def health_check(name):
    """What tells whether a service is well: words, not a shell."""
    kind, *words = SERVICES[name]["healthcheck"]["test"]
    assert kind == "CMD"
    return words
