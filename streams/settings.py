"""One frozen Settings; the only reader of the environment (`LINESIDE_*`).

A value comes from the command line, else the environment, else one TOML file (`--config` or LINESIDE_CONFIG), else the
default below. Units are in the names. Knows nothing of what the values are used for.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.errors import CallerError
from streams.kafka_address import KafkaAddress, Security, parse_protocol

PREFIX = "LINESIDE_"
POOL = re.compile(r"[a-z0-9-]{1,32}")
DAY_S = 86_400


def _default_data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "lineside"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, for all programs of one installation."""

    bootstrap_servers: str = ""  # host:port[,host:port]; empty: 127.0.0.1:9092, or the embedded broker of `lineside up`
    kafka_protocol: str = "plaintext"  # plaintext, ssl, or sasl_ssl: TLS and SCRAM-SHA-512
    kafka_ca_file: str = ""  # PEM: who signs brokers' certificates; empty: the system's authorities
    kafka_certificate_file: str = ""  # PEM: our own certificate, where brokers ask for one, ...
    kafka_key_file: str = ""  # ... and its key, unencrypted, readable by us alone
    kafka_user: str = ""
    kafka_password_file: str = ""  # one line, readable by us alone
    kafka_expiry_warning_days: int = 30  # a certificate that ends sooner is warned of
    kafka_secret_max_age_days: int = 365  # a password or key file older than this is warned of
    kafka_wait_s: float = 10.0  # how long a program that starts waits for Kafka to be there
    topic_prefix: str = "lineside."
    pools: str = ""  # pools of lines, with commas between: each has frames, workers and gateways of its own
    pool: str = ""  # of them the one whose frames this program writes or reads; empty: of lines in no pool
    schema_registry_url: str = ""  # empty: the ids committed in schemas/ids.json
    data_dir: Path = field(default_factory=_default_data_dir)
    frame_store: str = ""  # fsspec URL or folder of claim-checked pictures; empty: frames/ in data_dir
    metrics_port: int = 0  # of /metrics, /alive and /progressing on 127.0.0.1; 0: none
    log_level: str = "INFO"

    model_store: str = ""  # folder of released models, shared by all machines; empty: model-store/ in data_dir
    release_approvals: int = 1  # how many different people a release takes
    recipe_approvals: int = 1  # how many different people a change of a recipe takes

    partitions: int = 12  # of every topic keyed by station
    replication: int = 1
    min_insync_replicas: int = 1
    production: bool = False  # refuses a replication of 1

    language: str = "en"  # of pages: en or de
    timezone: str = "UTC"  # the plant's, as in the IANA database: of the times that pages show
    shift_starts: str = "06:00,14:00,22:00"  # of a day, in the plant's time
    planned_parts_per_min: str = ""  # per line, such as "line-1=60,line-2=45"; empty: no plan is shown
    users_file: str = ""  # who may sign in to pages; empty: users.json in data_dir
    web_hosts: str = ""  # more host names, with commas between, that pages may be reached by
    proxy_user_header: str = ""  # header by which a reverse proxy names the user, such as X-Remote-User; empty: none
    proxy_addresses: str = ""  # networks, with commas between, from which that header counts

    part_timeout_ms: int = 5_000  # wait for a part's missing views where no recipe says another
    window_s: int = 60  # width of the windows of line statistics
    lateness_s: int = 120  # how much later than the newest frame of its partition a frame still counts in its window
    second_review_share: float = 0.05  # of decided cases, for a blind second review
    claim_ttl_s: float = 120.0  # how long an opened case is kept for its operator
    rework_history_days: int = 7  # defects older than this are not on a station's board

    sample_budget_per_line: int = 50  # picks a line and day
    sample_shares: str = (
        "PASS_AUDIT=0.4,UNCERTAIN=0.2,DISAGREEMENT=0.1,RARE=0.1,CORRECTED=0.1,DRIFTED=0.1,NOVEL=0"  # of it
    )
    sample_period_s: int = 60  # length of a round of the sampler
    sample_seed: int = 0
    sample_near_bits: int = 4  # pictures whose perceptual hashes differ in at most so many of 64 bits count as one

    archive: str = ""  # folder of the history beyond Kafka's retention; empty: archive/ in data_dir
    archive_period_s: int = 3600  # what is archived together; a day must be a multiple of it
    archive_ok_share: float = 0.05  # of the passed frames of a line and period whose pictures are kept
    archive_ok_mib_per_line_day: int = 512  # most that those pictures take, per line and day
    archive_patience_s: int = 86_400  # frames without a verdict are archived after this

    spool_dir: str = ""  # where a gateway keeps frames while the broker is away; empty: gateway/spool/ in data_dir
    spool_max_bytes: int = 4 << 30  # beyond it frames are refused, or left to sources that can wait
    broker_silence_s: float = 2.0  # frames under way and none confirmed for so long: the broker is away
    inline_max_bytes: int = 900_000  # larger pictures travel as claim checks
    max_batch: int = 32  # frames
    linger_ms: float = 5.0  # longest wait for a fuller batch while the engine is idle
    decode_threads: int = 0  # 0: one a core
    buffer_messages: int = (
        128  # frames fetched but not yet taken, all partitions together; a quiet one's wait behind them
    )
    inflight_max_bytes: int = 256 << 20  # encoded pictures held by one worker
    inflight_max_s: float = 2.0  # work held by one worker, by its measured rate
    commit_interval_s: float = 0.25
    decode_timeout_s: float = 20.0  # longer than this for one picture: its decoder hangs, the process ends
    models_max_bytes: int = 4 << 30  # memory of released models that a worker holds, beside those it was started with
    infer_timeout_s: float = 30.0  # longer than this for one batch: the device is not to be trusted
    alone_timeout_s: float = 10.0  # for one picture, where it is tried alone because workers ended with it
    progress_within_s: float = 20.0  # something waits and nothing completes: /progressing says 503
    stall_timeout_s: float = 60.0  # lag stands and nothing completes: the process ends

    def __post_init__(self) -> None:
        if self.production and (self.replication < 2 or self.min_insync_replicas < 2):
            came = f"replication={self.replication}, min_insync_replicas={self.min_insync_replicas}"
            raise CallerError(f"production needs replication and min_insync_replicas of at least 2; came {came}")
        for name in ("partitions", "replication", "max_batch", "inflight_max_bytes", "buffer_messages", "window_s"):
            if getattr(self, name) < 1:
                raise CallerError(f"{name} must be at least 1; came {getattr(self, name)}")
        if self.pool not in self.pool_names:
            raise CallerError(f"there is no pool {self.pool!r}: LINESIDE_POOLS has {self.pools or 'none'}")
        if bad := [name for name in self.pool_names[1:] if not POOL.fullmatch(name)]:
            raise CallerError(f"a pool's name is 1 to 32 of a-z, 0-9 and `-`; came {bad[0]!r:.80} in LINESIDE_POOLS")
        if self.archive_period_s < 1 or DAY_S % self.archive_period_s:
            raise CallerError(f"archive_period_s must divide a day of {DAY_S} s; came {self.archive_period_s}")
        if self.spool_max_bytes < 0 or self.broker_silence_s <= 0:
            came = f"{self.spool_max_bytes} and {self.broker_silence_s:g}"
            raise CallerError(f"spool_max_bytes must be at least 0 and broker_silence_s above 0; came {came}")
        if not 0 <= self.archive_ok_share <= 1:
            raise CallerError(f"archive_ok_share must lie in 0 to 1; came {self.archive_ok_share}")

    @property
    def pool_names(self) -> tuple[str, ...]:
        """All pools; the first is that of lines in no pool, which has no name."""
        return ("", *dict.fromkeys(name.strip() for name in self.pools.split(",") if name.strip()))

    @property
    def bootstrap(self) -> str:
        """Kafka's address, the usual local one where none is configured, with how connections are secured."""
        return KafkaAddress(self.bootstrap_servers or "127.0.0.1:9092", self.kafka_security)

    @property
    def kafka_security(self) -> Security:
        """CallerError where the settings of security do not go together."""
        files = (self.kafka_ca_file, self.kafka_certificate_file, self.kafka_key_file)
        ca, certificate, key = (Path(file).expanduser() if file else None for file in files)
        password = Path(self.kafka_password_file).expanduser() if self.kafka_password_file else None
        return Security(parse_protocol(self.kafka_protocol), ca, certificate, key, self.kafka_user, password)

    @property
    def frame_store_url(self) -> str:
        return self.frame_store or str(self.data_dir / "frames")

    @property
    def spool_folder(self) -> Path:
        return Path(self.spool_dir) if self.spool_dir else self.data_dir / "gateway" / "spool"

    @property
    def model_store_dir(self) -> Path:
        """Where released models lie."""
        return Path(self.model_store) if self.model_store else self.data_dir / "model-store"

    @property
    def archive_dir(self) -> Path:
        return Path(self.archive) if self.archive else self.data_dir / "archive"


def load_settings(
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> Settings:
    """Settings from `overrides` (without the Nones), else `environ`, else the TOML file; CallerError for a bad one."""
    environ = os.environ if environ is None else environ
    config_file = config_file or (Path(environ[PREFIX + "CONFIG"]) if environ.get(PREFIX + "CONFIG") else None)
    values: dict[str, Any] = dict(_read_toml(config_file)) if config_file else {}
    for f in dataclasses.fields(Settings):
        if (text := environ.get(PREFIX + f.name.upper())) is not None:
            values[f.name] = _parse(f.name, f.type, text)
    values |= {k: v for k, v in (overrides or {}).items() if v is not None}
    return Settings(**values)


def to_environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for a process of ours that shall have the same."""
    return {PREFIX + f.name.upper(): str(getattr(settings, f.name)) for f in dataclasses.fields(Settings)}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CallerError(f"the configuration {path} can't be read: {error}") from error
    known = {f.name: f.type for f in dataclasses.fields(Settings)}
    if unknown := sorted(set(table) - set(known)):
        raise CallerError(f"{path} has the unknown setting {unknown[0]!r}; known are {', '.join(known)}")
    return {name: _parse(name, known[name], str(value)) for name, value in table.items()}


def _parse(name: str, kind: Any, text: str) -> Any:
    try:
        if kind == "bool":
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return {"int": int, "float": float, "Path": Path, "str": str}[kind](text)
    except (KeyError, ValueError):
        raise CallerError(f"{PREFIX}{name.upper()} (or {name}) must be a {kind}; came {text!r}") from None
