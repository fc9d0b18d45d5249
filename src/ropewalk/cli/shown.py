"""A store's URL as it may be printed and noted: a password in it is nobody's business."""

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

_SECRETS = ("password", "passwd", "secret", "token", "passfile", "key")


def shown_url(url: str) -> str:
    """Return ``url`` without its secrets; one that has none is returned as it is."""
    parts = urlsplit(url)
    who, at, where = parts.netloc.rpartition("@")
    user, colon, _ = who.partition(":")
    query = parse_qsl(parts.query, keep_blank_values=True)
    open_query = [(name, value) for name, value in query if not any(word in name.lower() for word in _SECRETS)]
    if not colon and len(open_query) == len(query):
        return url
    return parts._replace(netloc=f"{user}{at}{where}", query=urlencode(open_query, quote_via=quote)).geturl()


def holds_secret(url: str) -> bool:
    """Tell whether a URL holds what must not be noted anywhere."""
    return shown_url(url) != url
