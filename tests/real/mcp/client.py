"""An MCP client: `mcp`'s own library, as programs use it. Prints one line of JSON for each step.

    client.py URL TRANSPORT TOKEN TOOL ARGUMENTS SECONDS

Initializes, lists the tools and calls one; waits for so many seconds with the session open; calls it again. With the
token `discover`, the library finds out by itself where to get one, and gets it. With `none` there is none.
"""

import asyncio
import contextlib
import json
import logging
import sys
import urllib.parse

import httpx
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientMetadata

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
    else:
        async with streamablehttp_client(url, headers=headers, timeout=5, auth=auth) as (read, write, _):
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
        return answered["code"], answered["state"]

    metadata = OAuthClientMetadata(client_name="metagate", redirect_uris=["http://127.0.0.1:1/callback"])
    return OAuthClientProvider(url, metadata, Memory(), open_browser, callback)


async def call(session, step, tool, arguments):
    result = await asyncio.wait_for(session.call_tool(tool, arguments), 10)
    say(step, not result.isError, result.content[0].text if result.content else "")


async def main(url, transport, token, tool, arguments, seconds):
    headers = {} if token in ("none", "discover") else {"Authorization": f"Bearer {token}"}
    auth = discovery(url) if token == "discover" else None
    step = "initialize"
    try:
        async with streams(url, transport, headers, auth) as (read, write), ClientSession(read, write) as session:
            server = await asyncio.wait_for(session.initialize(), 10)
            say(step, True, server.serverInfo.name)
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
