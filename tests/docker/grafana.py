"""Dashboards as TypeScript, for the types that Grafana publishes to judge."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = Path(sys.prefix) / "grafana" / "node_modules"
"""Where `make test` installs Grafana's types and the compiler, next to the Python packages."""

_RAW = "@grafana/schema/dist/types/raw"
_HEADER = """
import type * as schema from "@grafana/schema/dist/types/raw/dashboard/x/types.gen";

// JSON spells the members of an enumeration as their values.
type Json<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
"""


def missing() -> str | None:
    """What keeps the dashboards from being checked, or None."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (PACKAGES / "@grafana" / "schema").is_dir() or not (PACKAGES / "typescript").is_dir():
        return "npm could not install @grafana/schema and typescript"
    return None


def complaints(dashboard: dict[str, Any], folder: Path) -> str:
    """What Grafana's types have against a dashboard; empty where they have nothing.

    Every panel's options and field settings are checked against those of its own kind.
    """
    (folder / "node_modules").symlink_to(PACKAGES)
    (folder / "dashboard.ts").write_text(as_typescript(dashboard), encoding="utf-8")
    compiler = PACKAGES / "typescript" / "bin" / "tsc"
    paths = {"@grafana/schema/dist/types/*": ["./node_modules/@grafana/schema/dist/types/*"]}
    options = {"strict": True, "noEmit": True, "skipLibCheck": True, "module": "esnext", "types": []}
    options |= {"moduleResolution": "bundler", "paths": paths}
    project = {"compilerOptions": options, "files": ["dashboard.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(project), encoding="utf-8")
    done = subprocess.run(
        ["node", compiler, "--project", folder], capture_output=True, text=True, check=False, timeout=300
    )
    return done.stdout + done.stderr


def as_typescript(dashboard: dict[str, Any]) -> str:
    """One typed constant for each part, because a type's extra fields are only found in a literal."""
    panels = dashboard["panels"]
    kinds = sorted({panel["type"] for panel in panels} - {"row"})
    lines = [_HEADER]
    lines += [
        f'import type * as {kind} from "{_RAW}/composable/{kind}/panelcfg/x/types.gen";' for kind in kinds
    ]
    lines.append(_constant("dashboard", "Omit<schema.Dashboard, 'panels'>", dashboard, "panels"))
    for panel in panels:
        name = f"panel_{panel['id']}"
        if panel["type"] == "row":
            lines.append(_constant(name, "schema.RowPanel", panel))
            continue
        defaults = panel["fieldConfig"]["defaults"]
        lines.append(
            _constant(name, "Omit<schema.Panel, 'options' | 'fieldConfig'>", panel, "options", "fieldConfig")
        )
        lines.append(_constant(f"{name}_options", f"{panel['type']}.Options", panel["options"]))
        lines.append(_constant(f"{name}_defaults", "Omit<schema.FieldConfig, 'custom'>", defaults, "custom"))
        overrides = {"overrides": panel["fieldConfig"]["overrides"]}
        lines.append(_constant(f"{name}_overrides", "Omit<schema.FieldConfigSource, 'defaults'>", overrides))
        if "custom" in defaults:
            lines.append(_constant(f"{name}_custom", f"{panel['type']}.FieldConfig", defaults["custom"]))
    return "\n".join(lines)


def _constant(name: str, kind: str, value: dict[str, Any], *left_out: str) -> str:
    shown = {key: part for key, part in value.items() if key not in left_out}
    return f"export const {name}: Json<{kind}> = {json.dumps(shown)};"
