"""docs/performance.md."""

import pathlib
import subprocess
import time

import report
from growth import CURVES

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE, PICTURES = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance"

TEXT = """\
# Performance

metagate compared with nginx and HAProxy as plain proxies, and with "HAProxy jwt_verify" and Envoy, which verify tokens
too. To repeat it on your machine
(Python 3.11 or later, two cores, root for `--install`, about {minutes} minutes):

```sh
cargo build --locked --release
python3 -m venv target/tools/python
target/tools/python/bin/pip install -r benches/compare/requirements.txt
target/tools/python/bin/python benches/compare/run --install target/release/metagate
```

`--quick` takes a third of the time{quick}, `--only warm` measures one scenario, `--write` writes this page. Quote ratios: they
are medians of the ratios of each round, and within a round all peers have the same machine. The other columns are
medians, and depend on the machine.

## Results

{table}

{machine}

{growth}
## How it is measured

- The proxy has one worker and one core to itself. The load generator and the upstream, an nginx that returns
  {body} bytes of JSON, have the {others}.
- The peers take turns within a round. CPU is the processor time, in user and in system mode, of all processes of the
  peer, divided by the requests. Each round starts every peer anew and sends it {seconds} s of requests over
  {connections} connections. There are {rounds} rounds; for growth {growth_rounds}, for memory one, with
  {idle:,} idle connections.
- With fewer than four cores, the second of two workers shares its core with the load.
- metagate writes an audit record of every request to a file. The others write no log.
- A figure is shown only if its scenario happened. metagate's own metrics must say that every warm token was found in the
  cache, that every fresh one was verified, and that every bad one was refused for its signature; from the others the
  status codes must be as expected.
- A fresh token is never sent twice in a run of a peer. A bad token is a good one with another character in the middle of
  its signature, so that it takes an RSA operation to refuse it.
- Instructions are counted by callgrind and do not depend on what else the machine does. `benches/budget` fails in CI if
  a request takes more than 5 % more of them than recorded in `benches/budget.toml`, or more than one allocation and 3 % more.
- nginx passes bodies on without buffering them (`proxy_buffering off`, `proxy_request_buffering off`), and responses
  that are not read without a temporary file. Its memory for connections is allocated at the start and not in the table.
- The configurations of all peers are in `benches/compare/configurations`.

## Not measured

{missing}- TLS handshakes, HTTP/2 to the backend, forward-auth, WebSocket tunnels, and ES256.
- More than one proxy core, except for the two rows about workers.
- The network: everything is on loopback.
"""


def commit():
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--", "src", "Cargo.toml", "Cargo.lock") else ""
    return (git("rev-parse", "--short=10", "HEAD") or "unknown") + changed


def pictures(figures):
    """Writes a picture of each curve that was measured, and returns the text that shows it."""
    parts = []
    for curve in CURVES:
        points, path = report.curve_points(figures, curve), PICTURES / f"{curve.name}.svg"
        if len(points) < 2:
            path.unlink(missing_ok=True)
            continue
        title = f"CPU of a request by the number of {curve.name}, as a multiple of that with {curve.sizes[0]}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(report.svg(title, points))
        parts.append(f"![{title}](performance/{path.name})\n")
    return "## Growth\n\n" + "\n".join(parts) if parts else ""


def write(figures, cells, machine, versions, options):
    """Writes the page. `options` are the numbers of the run."""
    peers = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "metagate")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    described = f"{'. '.join(machine)}. {peers}. metagate at commit {commit()}, {today}."
    absent = [it for it in cells if it[1].startswith(report.ABSENT)]
    missing = [f"- {title}: {value.removeprefix(report.ABSENT)}\n" for title, value, *_ in absent]
    PAGE.write_text(TEXT.format(
        table=report.markdown_table([it for it in cells if it not in absent]), machine=wrapped(described),
        growth=pictures(figures), missing="".join(missing), **options,
    ))


def wrapped(text, width=120):
    """The text in lines of at most this width."""
    made, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            made.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*made, line])
