"""Options that every command of `lineside` takes, and how errors become exit statuses. Knows no command."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from models.errors import ModelError
from streams.errors import CallerError, LinesideError
from streams.kafka_address import Protocol
from streams.settings import Settings, load_settings

COMMON: dict[str, Any] = {
    "bootstrap_servers": Annotated[
        str | None, typer.Option(help="Kafka as host:port[,host:port].", envvar="LINESIDE_BOOTSTRAP_SERVERS")
    ],
    "data_dir": Annotated[Path | None, typer.Option(help="Where state is kept.", envvar="LINESIDE_DATA_DIR")],
    "topic_prefix": Annotated[
        str | None, typer.Option(help="Before every topic's name.", envvar="LINESIDE_TOPIC_PREFIX")
    ],
    "log_level": Annotated[
        str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.", envvar="LINESIDE_LOG_LEVEL")
    ],
    "config": Annotated[Path | None, typer.Option(help="A TOML file with any setting.", envvar="LINESIDE_CONFIG")],
}


def with_settings(**overrides: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the COMMON options; it is called with `settings` in their place. `overrides` are its defaults."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for name, p in signature.parameters.items() if name != "settings"]
        kind = inspect.Parameter.KEYWORD_ONLY
        common = [inspect.Parameter(n, kind, default=None, annotation=a) for n, a in COMMON.items()]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in COMMON}
            config = given.pop("config")
            settings = load_settings(given, _environment(overrides), config)
            set_up_logging(settings)
            try:
                _watch_ages(settings)
                command(settings=settings, **values)
            except Exception as error:
                if (told := _told(error, settings)) is error:
                    raise
                raise told from error

        run.__signature__ = signature.replace(parameters=[*own, *common])  # type: ignore[attr-defined]
        return run

    return decorate


def _watch_ages(settings: Settings) -> None:
    """Certificates that end soon and old secrets are warned of; free of charge where all is on this machine."""
    here = settings.bootstrap.startswith(("127.0.0.1:", "localhost:"))
    if settings.kafka_protocol != Protocol.PLAINTEXT or not here:
        from streams.bus.ages import watch

        watch(settings)


def _told(error: Exception, settings: Settings) -> Exception:
    """What Kafka forbade in the midst of work as a sentence; any other error as it is."""
    if isinstance(error, LinesideError):
        return error
    from streams.bus.refusals import not_allowed  # Kafka's client is half a second that `--help` need not pay

    return not_allowed(error, settings.bootstrap) or error


def _environment(defaults: Mapping[str, Any]) -> dict[str, str]:
    """The environment, with a command's own defaults where it says nothing."""
    return {f"LINESIDE_{name.upper()}": str(value) for name, value in defaults.items()} | dict(os.environ)


def ensure_data_dir(settings: Settings) -> None:
    """Makes the data directory, closed to other accounts; CallerError where nothing can be written to it."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data_dir):
            pass
    except OSError as error:
        raise CallerError(
            f"the data directory {settings.data_dir} can't be written: {error.strerror}; choose another with --data-dir"
        ) from error


def set_up_logging(settings: Settings) -> None:
    """Everything to stderr; the chatter of libraries only where it is a warning."""
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise CallerError(f"log_level must be DEBUG, INFO, WARNING or ERROR; came {settings.log_level!r}")
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)-8s %(name)s: %(message)s", force=True)
    logging.getLogger().setLevel(max(level, logging.WARNING))
    for ours in ("streams", "models", "schemas"):
        logging.getLogger(ours).setLevel(level)


def run(app: typer.Typer) -> int:
    """The exit status of a call: 0 done, 2 the caller's mistake, 1 anything else."""
    try:
        status = app(standalone_mode=False)  # a number where a command ended with typer.Exit
        return status if isinstance(status, int) else 0
    except typer.Abort:
        return 1
    except typer.TyperException as error:  # bad options
        print(f"lineside: {error.format_message()} `--help` shows what is possible", file=sys.stderr)
        return 2
    except (LinesideError, ModelError) as error:
        print(f"lineside: {error}", file=sys.stderr)
        return getattr(error, "exit_status", 2)
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
