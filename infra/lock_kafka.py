"""Writes streams/bus/kafka.lock anew: all jars of the embedded Kafka, resolved by Maven coordinates, with their sha256.

Run it to change the version of Kafka (`.venv/bin/python infra/lock_kafka.py`), then read the difference and run the
tests in tests/broker. The broker itself never resolves anything: it takes what the lock names, or nothing.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import jgo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from streams.bus.kafka_jars import LOCK_FILE, Jar, fetch_by_maven  # noqa: E402

# "!" takes the versions that each project's own POM names; jgo would else let log4j's POM govern Kafka's dependencies.
# Kafka ships without a log back end for its slf4j 1.7 API: log4j 2 is what its own distribution uses.
ROOTS = ("org.apache.kafka:kafka_2.13:4.3.1!", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5!")

HEADER = """\
# The embedded Kafka's jars: sha256, bytes, Maven coordinates. Written by infra/lock_kafka.py, checked at each start.
"""


def main() -> None:
    """Resolves, fetches into a scratch folder, hashes, writes."""
    jars = []
    with tempfile.TemporaryDirectory() as scratch:
        for artifact in jgo.resolve("+".join(ROOTS)):
            jar = Jar(artifact.groupId, artifact.artifactId, artifact.version, "", 0)
            content = fetch_by_maven(Path(scratch), jar).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            jars.append(Jar(jar.group, jar.artifact, jar.version, digest, len(content)))
            print(jars[-1].line(), flush=True)
    lines = sorted((jar.line() for jar in jars), key=lambda line: line.split()[-1])
    LOCK_FILE.write_text(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
