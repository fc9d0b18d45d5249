"""The looks of an SVG picture: colours for light and for dark, and the signs of statuses and notes.

Every rule stands under the class of the picture, because the style of an SVG that is part of a page holds for the whole
page. Colours are written out, without variables: converters to PNG and PDF know no variables.
"""

ROOT = "ropewalk-graph"

_LIGHT = {
    "paper": "#ffffff",
    "ink": "#1e293b",
    "muted": "#64748b",
    "line": "#94a3b8",
    "taken": "#334155",
    "node": "#f8fafc",
    "rim": "#94a3b8",
    "group": "#f1f5f9",
    "groupline": "#cbd5e1",
    "pole": "#475569",
    "poleink": "#ffffff",
    "route": "#fff7ed",
    "routeline": "#fb923c",
    "routeink": "#9a3412",
    "pause": "#a16207",
    "pending": "#94a3b8",
    "running": "#2563eb",
    "runningfill": "#eff6ff",
    "waiting": "#b45309",
    "waitingfill": "#fffbeb",
    "failed": "#dc2626",
    "failedfill": "#fef2f2",
    "done": "#15803d",
    "donefill": "#f0fdf4",
}
_DARK = {
    "paper": "#0f172a",
    "ink": "#e2e8f0",
    "muted": "#94a3b8",
    "line": "#64748b",
    "taken": "#cbd5e1",
    "node": "#1e293b",
    "rim": "#64748b",
    "group": "#17213a",
    "groupline": "#334155",
    "pole": "#cbd5e1",
    "poleink": "#0f172a",
    "route": "#2a1d12",
    "routeline": "#c2690f",
    "routeink": "#fdba74",
    "pause": "#facc15",
    "pending": "#64748b",
    "running": "#60a5fa",
    "runningfill": "#172a4d",
    "waiting": "#fbbf24",
    "waitingfill": "#33260c",
    "failed": "#f87171",
    "failedfill": "#3a1518",
    "done": "#4ade80",
    "donefill": "#11301f",
}
_SHAPES = """
&{font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
& .name{font-size:13px;font-weight:500}
& .note,& .pill text,& .count,& .times{font-size:11px}
& .pole text{font-size:12px}
& .middle{text-anchor:middle}
& path,& .sign{fill:none;stroke-linecap:round;stroke-linejoin:round}
& .wire,& .stem{stroke-width:1.5}
& .router .wire,& .stub{stroke-dasharray:5 4}
& .taken .wire{stroke-width:2.25}
& .body,& .card{stroke-width:1.25}
& .sign{stroke-width:1.75}
& .pending>.body{stroke-dasharray:4 3}
& .running>.body,& .waiting>.body,& .failed>.body{stroke-width:2}
& .times{paint-order:stroke;stroke-width:4px}
"""
_COLOURS = """
& .paper{fill:%paper}
& text{fill:%ink}
& .note{fill:%muted}
& .body,& .card{fill:%node;stroke:%rim}
& .group>.body,& .group>.card{fill:%group;stroke:%groupline}
& .choice>.body,& .pill rect{fill:%route;stroke:%routeline}
& .pill text{fill:%routeink}
& .pill path{stroke:%routeline}
& .pole>.body{fill:%pole;stroke:%pole}
& .pole.end>.body{fill:%paper}
& .pole.start text{fill:%poleink}
& .pole .dot{fill:%pole}
& .wire,& .stem{stroke:%line}
& .head{fill:%line;stroke:%line}
& .taken .wire{stroke:%taken}
& .taken .head{fill:%taken;stroke:%taken}
& .times{fill:%taken;stroke:%paper}
& .inside .times{stroke:%group}
& .stub{stroke:%routeline}
& .pause{fill:%pause}
& .pending>.sign{stroke:%pending}
& .count rect{fill:%taken}
& .count text{fill:%paper}
"""
_STATUS = """
& .node.STATUS>.body{fill:%STATUSfill;stroke:%STATUS}
& .group.STATUS>.body{fill:%group}
& .node.STATUS>.card{stroke:%STATUS}
& .STATUS>.sign{stroke:%STATUS}
"""
_STATUSES = ("running", "waiting", "failed", "done")
_TURNING = """
@media (prefers-reduced-motion:no-preference){& .running>.turning{
animation:ropewalk-turn 1.4s linear infinite;transform-box:fill-box;transform-origin:center}}
@keyframes ropewalk-turn{to{transform:rotate(360deg)}}
"""

SIGNS = {
    "pending": "M1 7a6 6 0 1 0 12 0a6 6 0 1 0 -12 0",
    "running": "M7 1a6 6 0 1 1 -6 6",
    "waiting": "M2 1.5h10M2 12.5h10M3.5 1.5c0 4 7 6.5 7 11M10.500 1.5c0 4 -7 6.500 -7 11",
    "failed": "M2.500 2.500l9 9M11.500 2.500l-9 9",
    "done": "M1.500 7.500l4 4l7 -8.500",
}
"""Status -> the sign beside the name, in a square of 14 pixels."""

DIAMOND = "M0 -4.500L4.500 0L0 4.500L-4.500 0Z"


def stylesheet(*, statuses: bool) -> str:
    """Return the rules of a picture, with those for statuses only where it shows any."""
    colours = _COLOURS + ("".join(_STATUS.replace("STATUS", status) for status in _STATUSES) if statuses else "")
    dark = f"@media (prefers-color-scheme:dark){{{_filled(colours, _DARK)}}}"
    rules = _SHAPES + _filled(colours, _LIGHT) + dark + (_TURNING if statuses else "")
    return rules.replace("&", f".{ROOT}").replace("\n", "")


def _filled(rules: str, colours: dict[str, str]) -> str:
    for name in sorted(colours, key=len, reverse=True):
        rules = rules.replace(f"%{name}", colours[name])
    return rules
