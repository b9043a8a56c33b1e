"""The process in which native engravers run: a job in JSON on standard input, its result on standard output.

``python -m cadenza.formats.sheet._worker MEMORY_BYTES CPU_SECONDS`` bounds itself before it loads anything native, so
that a crash, a leak or an endless loop in there ends this process alone.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path
from typing import Any


def engrave(job: dict[str, Any]) -> dict[str, Any]:
    """MusicXML → pages in SVG (verovio). ``job``: musicxml, options, max_pages."""
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions(job["options"])
    if not toolkit.loadData(job["musicxml"]):
        return {"error": "the engraver does not take the MusicXML"}
    n_pages = toolkit.getPageCount()
    if n_pages > job["max_pages"]:
        return {"too_many_pages": n_pages}
    if n_pages == 1 and job["crop"]:  # no paper below the last staff
        toolkit.setOptions({**job["options"], "adjustPageHeight": True})
        toolkit.redoLayout()
    return {"pages": [toolkit.renderToSVG(page + 1) for page in range(n_pages)]}


PAGES = """#set document(title: sys.inputs.title, author: sys.inputs.author)
#for one in json("pages.json") {
  page(width: one.width * 1mm, height: one.height * 1mm, margin: 0pt, image(one.name, width: 100%))
}
"""


def paint(job: dict[str, Any]) -> dict[str, Any]:
    """Pages in SVG → one PDF or a PNG each (typst). ``job``: pages (svg, width and height in mm), kind, ppi, title,
    author."""
    import typst

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        listed = []
        for number, page in enumerate(job["pages"]):
            name = f"{number}.svg"
            (root / name).write_text(page["svg"], "utf-8")
            listed.append({"name": name, "width": page["width"], "height": page["height"]})
        (root / "pages.json").write_text(json.dumps(listed), "utf-8")
        (root / "main.typ").write_text(PAGES, "utf-8")
        texts = {"title": job["title"], "author": job["author"]}
        done = typst.compile(str(root / "main.typ"), root=folder, format=job["kind"], ppi=job["ppi"], sys_inputs=texts)
    files = done if isinstance(done, list) else [done]
    return {"files": [base64.b64encode(data).decode("ascii") for data in files]}


def bound(memory_bytes: int, cpu_seconds: int) -> None:
    """Limit this process where the system can."""
    try:
        import resource
    except ImportError:  # no such limits on this system; the caller's clock remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Read a job, do it, say the result."""
    bound(int(sys.argv[1]), int(sys.argv[2]))
    job = json.load(sys.stdin)
    result = {"engrave": engrave, "paint": paint}[job["verb"]](job)
    sys.stdout.write("\n" + json.dumps(result))  # on a line of its own, whatever the libraries said before


if __name__ == "__main__":
    main()
