"""What goes wrong with a PostgreSQL server: whether to try again, and the words of our errors."""

from enum import Enum

import psycopg

from ropewalk.errors import StoreCorrupt, StoreFull, StoreReadOnly, StoreUnavailable
from ropewalk.stores.postgres_place import PostgreSQLConfig

_UNDONE = {
    "40001",  # serialization failure
    "40P01",  # deadlock
    "57014",  # cancelled, by statement_timeout or a person
    "53300",  # too many connections
    "57P03",  # the server starts or stops
}
_GONE = {"57P01", "57P02", "57P05", "25P03"}  # the server ended the session
_READ_ONLY = {"25006"}
_CORRUPT = {"XX001", "XX002", "42P01", "42703", "3F000"}  # pages, indexes; a table, column or schema is missing


class Verdict(Enum):
    """What an error says about the statement that met it."""

    UNDONE = "undone"
    """Nothing of it was written; the same again may succeed."""
    LOST = "lost"
    """The connection went; it may have been carried out, and may be yet."""
    ELSEWHERE = "elsewhere"
    """Nothing was written: this server may only be read. After a failover another one takes writes."""
    FINAL = "final"
    """Trying again would not help."""


def verdict(trouble: BaseException) -> Verdict:
    """Judge an exception of the driver."""
    code = sqlstate(trouble)
    if code in _UNDONE:
        return Verdict.UNDONE
    if code in _READ_ONLY:
        return Verdict.ELSEWHERE
    if code in _GONE or code.startswith("08"):
        return Verdict.LOST
    if isinstance(trouble, OSError) or (not code and isinstance(trouble, psycopg.OperationalError)):
        return Verdict.LOST
    return Verdict.FINAL


def sqlstate(trouble: BaseException) -> str:
    return (trouble.sqlstate if isinstance(trouble, psycopg.Error) else None) or ""


def in_our_words(trouble: BaseException, config: PostgreSQLConfig, *, doubtful: bool) -> StoreUnavailable:
    """Return a new exception for one caller; ``doubtful`` says that its call may have been carried out."""
    code = sqlstate(trouble)
    where = config.shown
    why = _why(trouble, config)
    kept = "What was acknowledged is kept." + (
        " This call may have been carried out all the same: read the log before you repeat it."
        if doubtful
        else " Nothing of this call was written."
    )
    if code == "53100":
        return StoreFull(f"{where} could not grow: {why}. {kept} Make room on the server's disk and try again.")
    if code in _READ_ONLY or code == "42501":
        return StoreReadOnly(
            f"{where} could not be written: {why}. {kept} Name the primary, several hosts with "
            "target_session_attrs=read-write, or give this user the right to write the schema ropewalk."
        )
    if code in _CORRUPT:
        return StoreCorrupt(
            f"{where} is not a whole store: {why}. {kept} Look at the server's log; restore a backup, or run "
            "`ropewalk db upgrade --store URL` if the tables were never made."
        )
    return StoreUnavailable(f"{where} could not be used: {why}. {kept} {_advice(code)}")


def not_connected(trouble: BaseException, config: PostgreSQLConfig, *, seconds: float) -> StoreUnavailable:
    """Return what a caller is told whose call never reached the server."""
    tried = f" for {seconds:.3g} s" if seconds >= 0.1 else ""
    return StoreUnavailable(
        f"{config.shown} could not be reached{tried}: {_why(trouble, config)}. Nothing of this call was written. Look "
        "at the host, the port, the user and its password, and at whether the server runs; then try again."
    )


def none_free(config: PostgreSQLConfig) -> StoreUnavailable:
    return StoreUnavailable(
        f"All {config.max_connections} connections of this process to {config.shown} were busy for "
        f"{config.connection_timeout:g} s. Nothing of this call was written. Allow more (?max_connections=), or look "
        "at what keeps the server busy."
    )


def _advice(code: str) -> str:
    match code:
        case "57014":
            return "The statement took longer than the server or its user allows (statement_timeout)."
        case "55P03":
            return "Somebody holds the run's row in a long transaction: end that one."
        case "40P01" | "40001":
            return "Others change the same runs all the time: look at who does."
        case _:
            return "Look at whether the server runs and can be reached, then try again."


def _why(trouble: BaseException, config: PostgreSQLConfig) -> str:
    text = " ".join(str(trouble).split()) or type(trouble).__name__
    for secret in config.secrets:
        text = text.replace(secret, "***")
    code = sqlstate(trouble)
    return f"{text.rstrip('.?!')} [{code}]" if code else text.rstrip(".?!")
