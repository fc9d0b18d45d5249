"""The seed's app with a page on it that a browser opens; prints what the page saw."""

import json
import sys
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from tests.compat.snippet_web_integration import app


@app.get("/page")
async def page() -> HTMLResponse:
    return HTMLResponse((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))


@app.post("/seen")
async def seen(what: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(what), flush=True)
    return {}


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
