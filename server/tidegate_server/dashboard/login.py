"""The page that asks for the token: it stands alone, without scripts."""

from html import escape

STYLE = """
:root { color-scheme: light dark; --bg: #f5f6f8; --card: #fff; --fg: #18212c; --muted: #56616e;
  --line: #d5dae1; --accent: #0b5cad; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --bg: #0e1318; --card: #161c23; --fg: #e4e9ee;
  --muted: #9ba7b4; --line: #303a45; --accent: #6cb2ff; --bad: #ff8a80 } }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--bg);
  color: var(--fg); font: 15px/1.5 system-ui, sans-serif }
main { width: min(26rem, calc(100vw - 4rem)); background: var(--card); padding: 2rem;
  border: 1px solid var(--line); border-radius: 8px }
h1 { font-size: 1.2rem; margin: 0 0 .5rem } p { color: var(--muted); margin: .5rem 0 }
code { font-size: .9em; color: var(--fg) } .bad { color: var(--bad) }
label { display: block; font-weight: 600; margin: 1rem 0 .25rem }
input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem .6rem;
  border-radius: 5px; border: 1px solid var(--line); background: var(--bg); color: var(--fg) }
button { margin-top: 1rem; background: var(--accent); border-color: var(--accent);
  color: var(--card); font-weight: 600; cursor: pointer }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tidegate: sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style nonce="{nonce}">{style}</style></head>
<body><main>
<h1>Tidegate</h1>
<p>The dashboard opens with an access token. <code>tidegate up</code> prints a link that holds one;
elsewhere it is what <code>TIDEGATE_DASHBOARD_TOKEN</code> (to look) or
<code>TIDEGATE_DASHBOARD_OPERATOR_TOKEN</code> (to change things) is set to.</p>
{problem}
<form method="post" action="/login">
<input type="hidden" name="next" value="{target}">
<label for="token">Access token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button>
</form></main></body></html>
"""

_AGAIN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tidegate</title>
<meta http-equiv="refresh" content="0"></head><body><p>Opening …</p></body></html>
"""
"""For who comes by a link of another site: the session's cookie is sent from here on."""


def login_page(nonce: str, target: str, problem: str = "") -> str:
    """Return the page. target: the path to go on to; problem: why it is shown again."""
    line = f'<p class="bad" role="alert">{escape(problem)}</p>' if problem else ""
    return _PAGE.format(nonce=nonce, style=STYLE, target=escape(target), problem=line)


def opening_page() -> str:
    """Return a page that loads itself again, from this site."""
    return _AGAIN
