"""Arguments: the two base URLs, then SIZE:TRIES. Prints, for each try, the client, the size, and ok or a fault."""

import http.client
import sys
import urllib.parse

import httpx
import requests

PATIENCE = 3


def plain_client(url, body):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request("POST", "/api", body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def with_requests(url, body, session=requests.Session()):
    response = session.post(f"{url}/api", data=body, timeout=PATIENCE, verify=False)
    return response.status_code, response.text


def with_httpx(client):
    def ask(url, body):
        response = client.post(f"{url}/api", content=body)
        return response.status_code, response.text

    return ask


def repeat(name, ask, url, size, tries):
    for _ in range(tries):
        try:
            status, body = ask(url, bytes(size))
            fault = "ok" if status == 401 and body[:1] == "{" and body[-1:] == "}" else f"{status} {body[:100]}"
        except Exception as error:  # Each client has its own kinds.
            fault = f"{type(error).__name__}: {error}"
        print(name, size, " ".join(fault.split()), sep="\t", flush=True)


def main():
    plain, tls, *sizes = sys.argv[1:]
    options = {"verify": False, "timeout": PATIENCE}
    clients = {
        "python http.client h1": (plain_client, plain),
        "python requests h1": (with_requests, plain),
        "python httpx h1": (with_httpx(httpx.Client(**options)), plain),
        "python httpx h2c": (with_httpx(httpx.Client(http1=False, http2=True, **options)), plain),
        "python httpx TLS h2": (with_httpx(httpx.Client(http2=True, **options)), tls),
    }
    for size, tries in (map(int, it.split(":")) for it in sizes):
        for name, (ask, url) in clients.items():
            repeat(name, ask, url, size, tries)


main()
