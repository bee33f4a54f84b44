"""An MCP client: `mcp`'s own library, as programs use it. Prints one line of JSON for each step.

    client.py URL TRANSPORT TOKEN TOOL ARGUMENTS SECONDS

Initializes, lists the tools and calls one; waits for so many seconds with the session open; calls it again. With the
token `discover`, the library finds out by itself where to get one, and gets it. With `none` there is none. Versions 1 and 2
of the library differ in names only.
"""

import asyncio
import contextlib
import json
import logging
import sys
import urllib.parse

import mcp.client.streamable_http as streamable
import mcp.shared.auth as shared
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.sse import sse_client

IS_NEW = not hasattr(streamable, "streamablehttp_client")
if IS_NEW:
    import httpx2 as httpx
    from mcp.shared._httpx_utils import create_mcp_http_client
else:
    import httpx

logging.disable(logging.CRITICAL)


def say(step, works, shown):
    print(json.dumps({"step": step, "works": works, "shown": " ".join(str(shown).split())[:300]}), flush=True)


def leaves(error):
    """The exceptions inside of groups: what a program that prints the cause shows."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


@contextlib.asynccontextmanager
async def streams(url, transport, headers, auth):
    if transport == "sse":
        async with sse_client(url, headers=headers, timeout=5, auth=auth) as (read, write):
            yield read, write
    elif IS_NEW:
        async with create_mcp_http_client(headers, auth=auth) as http, streamable.streamable_http_client(url, http_client=http) as pair:
            yield pair
    else:
        async with streamable.streamablehttp_client(url, headers=headers, timeout=5, auth=auth) as (read, write, _):
            yield read, write


class Memory:
    """The library's storage of tokens and client registrations."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def discovery(url):
    """The library's own discovery and authorization. The browser of its user is one request."""
    answered = {}

    async def open_browser(address):
        async with httpx.AsyncClient() as browser:
            location = (await browser.get(address)).headers["location"]
        answered.update(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))

    async def callback():
        answer = (answered["code"], answered["state"])
        return shared.AuthorizationCodeResult(code=answer[0], state=answer[1]) if IS_NEW else answer

    metadata = shared.OAuthClientMetadata(client_name="metagate", redirect_uris=["http://127.0.0.1:1/callback"])
    return OAuthClientProvider(url, metadata, Memory(), open_browser, callback)


async def call(session, step, tool, arguments):
    result = await asyncio.wait_for(session.call_tool(tool, arguments), 10)
    say(step, not (result.is_error if IS_NEW else result.isError), result.content[0].text if result.content else "")


async def main(url, transport, token, tool, arguments, seconds):
    headers = {} if token in ("none", "discover") else {"Authorization": f"Bearer {token}"}
    auth = discovery(url) if token == "discover" else None
    step = "initialize"
    try:
        async with streams(url, transport, headers, auth) as (read, write), ClientSession(read, write) as session:
            server = await asyncio.wait_for(session.initialize(), 10)
            say(step, True, (server.server_info if IS_NEW else server.serverInfo).name)
            step = "list tools"
            tools = [it.name for it in (await asyncio.wait_for(session.list_tools(), 10)).tools]
            say(step, tool in tools, f"{len(tools)} tools")
            step = "call"
            await call(session, step, tool, json.loads(arguments))
            step = "call later"
            await asyncio.sleep(float(seconds))
            await call(session, step, tool, json.loads(arguments))
            step = "close"
        say(step, True, "")
    except BaseException as error:  # noqa: BLE001
        for leaf in leaves(error):
            response = getattr(leaf, "response", None)
            challenge = response.headers.get("www-authenticate") if isinstance(response, httpx.Response) else None
            say(step, False, f"{type(leaf).__name__}: {leaf}" + (f" [{challenge}]" if challenge else ""))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
