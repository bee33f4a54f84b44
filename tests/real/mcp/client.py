"""An MCP client: `mcp`'s own library, as programs use it. Prints one line of JSON for each step.

    client.py URL TRANSPORT TOKEN TOOL ARGUMENTS SECONDS

Initializes, lists the tools and calls one; waits for so many seconds with the session open; calls it again.
"""

import asyncio
import contextlib
import json
import logging
import sys

import httpx
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client

logging.disable(logging.CRITICAL)


def say(step, works, shown):
    print(json.dumps({"step": step, "works": works, "shown": " ".join(str(shown).split())[:300]}), flush=True)


def leaves(error):
    """The exceptions inside of groups: what a program that prints the cause shows."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


@contextlib.asynccontextmanager
async def streams(url, transport, headers):
    if transport == "sse":
        async with sse_client(url, headers=headers, timeout=5) as (read, write):
            yield read, write
    else:
        async with streamablehttp_client(url, headers=headers, timeout=5) as (read, write, _):
            yield read, write


async def call(session, step, tool, arguments):
    result = await asyncio.wait_for(session.call_tool(tool, arguments), 10)
    say(step, not result.isError, result.content[0].text if result.content else "")


async def main(url, transport, token, tool, arguments, seconds):
    headers = {} if token == "none" else {"Authorization": f"Bearer {token}"}
    step = "initialize"
    try:
        async with streams(url, transport, headers) as (read, write), ClientSession(read, write) as session:
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
