"""How the site's pages are made of the repository's files, for `make docs`.

README.md becomes the first page, CONTRIBUTING.md and CHANGELOG.md pages of their own, and the routes are
listed from the OpenAPI document, so that none of it is written twice. Links are those of the repository, as a
code host follows them; of links to files that are no pages the path is left.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from service.api.app import create_app
from service.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository's root, and the pages that are made of them."""
LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    contents = {page: of_root((ROOT / name).read_text(encoding="utf-8")) for name, page in PAGES.items()}
    contents["routes.md"] = routes(create_app(Settings()).openapi())
    for page, content in contents.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Lead links of pages in docs/ to the pages that are made of the root's files."""
    return LINK.sub(lambda link: _led(link, link[2]), markdown)


def of_root(markdown: str) -> str:
    """The text of a file of the root, as a page: links are from docs/."""
    return LINK.sub(lambda link: _led(link, f"../{link[2]}"), markdown)


def _led(link: re.Match[str], target: str) -> str:
    """The link to where its target, as seen from docs/, is on the site; its path alone if it is no page."""
    path, mark, anchor = target.partition("#")
    if "://" in target or not path.startswith("../") or path == "../":
        return link[0]
    inside = path.removeprefix("../")
    if inside.startswith("docs/"):
        return f"{link[1]}({inside.removeprefix('docs/')}{mark}{anchor})"
    if inside in PAGES:
        return f"{link[1]}({PAGES[inside]}{mark}{anchor})"
    return f"`{inside}`"


def routes(document: dict[str, Any]) -> str:
    """A page that lists each route of an OpenAPI document with its parameters and answers."""
    lines = [
        "# Routes",
        "",
        "Made of the OpenAPI document, which a running service has at `/openapi.json`; `/docs` tries it out.",
        "Errors are `application/problem+json`; [http.md](http.md) says more.",
    ]
    named = {tag["name"]: tag["description"] for tag in document.get("tags", [])}
    grouped: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            tag = route.get("tags", ["other"])[0]
            grouped.setdefault(tag, []).extend(_route(f"{method.upper()} {path}", route, document))
    for tag, texts in grouped.items():
        lines += ["", f"## {tag}", "", named.get(tag, ""), *texts]
    return "\n".join(lines) + "\n"


def _route(title: str, route: dict[str, Any], document: dict[str, Any]) -> list[str]:
    lines = ["", f"### {title}", "", route.get("summary", "") + ".", "", route.get("description", "")]
    fields = [
        (each["name"], f"in the {each['in']}", each.get("schema", {}), each.get("description", ""))
        for each in route.get("parameters", [])
    ]
    for kind, body in route.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(body.get("schema", {}), document)
        fields += [
            (name, kind, one, one.get("description", ""))
            for name, one in schema.get("properties", {}).items()
        ]
    if fields:
        lines += ["", "| field | where | type | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{name}` | {where} | {_type(one)} | {_cell(text)} |" for name, where, one, text in fields
        ]
    lines += ["", "| answer | meaning |", "|---|---|"]
    lines += [
        f"| {status} | {_cell(answer['description'])} |" for status, answer in route["responses"].items()
    ]
    return lines


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return document["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema


def _type(schema: dict[str, Any]) -> str:
    """In a word, from a JSON schema."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"] if one.get("type") != "null"))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("format") == "binary" or "contentMediaType" in schema:
        return "file"
    return str(schema.get("type", schema.get("$ref", "").rpartition("/")[2] or "any"))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
