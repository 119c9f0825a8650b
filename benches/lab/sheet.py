"""What every page is made of: its style, its head, its sections. No library is needed for these."""

import html
from collections.abc import Sequence

STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; color: #202124; background: #fff; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
h1, h2 { font-weight: 600; line-height: 1.2 } h2 { margin-top: 2.5rem }
pre { font: 12px/1.4 ui-monospace, monospace; overflow-x: auto; background: #f8f9fa; padding: 0.7rem; border-radius: 4px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem } dt { color: #5f6368 } dd { margin: 0; overflow-wrap: anywhere }
figure { margin: 1rem 0 } figcaption { color: #5f6368 } svg { max-width: 100%; height: auto }
"""


def sheet(title: str, heading: str, head: dict[str, str], sections: Sequence[str]) -> str:
    facts = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in head.items())
    body = "".join([f"<h1>{html.escape(heading)}</h1>", f"<dl>{facts}</dl>", *sections])
    return f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>\n{body}</html>\n'


def section(title: str, plots: Sequence[str], texts: Sequence[str]) -> list[str]:
    if not plots and not texts:
        return []
    return [f"<h2>{html.escape(title)}</h2>\n", *plots, *(f"<pre>{html.escape(text)}</pre>\n" for text in texts)]


def figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>\n"
