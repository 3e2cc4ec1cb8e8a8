#!/usr/bin/env python3
"""Fails on a relative link in a Markdown page that leads nowhere, and unless CHANGELOG.md's newest release is project(VERSION)."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(page: pathlib.Path) -> set[str]:
    """The names that a page's headings are linked by: small letters, hyphens for spaces, no punctuation."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in HEADING.findall(text)}


def broken_links() -> list[str]:
    faults = []
    for page in sorted(ROOT.rglob("*.md")):
        if page.relative_to(ROOT).parts[0] in {"build", "runs", "deps", ".venv"}:
            continue
        for target in LINK.findall(CODE.sub("", page.read_text())):
            if "://" in target or target.startswith("mailto:"):
                continue
            name, _, anchor = target.partition("#")
            place = page.parent / name if name else page
            if not place.exists():
                faults.append(f"{page.relative_to(ROOT)}: there is no {target}")
            elif anchor and place.suffix == ".md" and anchor not in anchors(place):
                faults.append(f"{page.relative_to(ROOT)}: no heading of {place.name} is called #{anchor}")
    return faults


def versions_apart() -> list[str]:
    project = re.search(r"project\(evenflow VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    release = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if project and release and project.group(1) == release.group(1):
        return []
    found = release.group(1) if release else "none"
    return [f"CHANGELOG.md: the newest release is {found}, project(VERSION) in CMakeLists.txt is {project and project.group(1)}"]


faults = broken_links() + versions_apart()
print("\n".join(faults), end="\n" if faults else "")
sys.exit(1 if faults else 0)
