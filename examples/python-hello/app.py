"""A service in Python: each request runs this script once, in an interpreter of its own.

Any CPython for WASI preview 1 runs it: the request comes as environment and standard input, the answer goes to standard
output, what it writes to standard error is its log. The script is a file of the deployment:

    selvedge deploy python.wasm --files examples/python-hello --arg python --arg /app.py --site hello

The interpreter starts anew for each request. `selvedge compile --preinit` does not spare that here: such a CPython
exports `_start` alone, which starts the interpreter, runs the script and ends, so there is nothing to call in advance.
It takes an interpreter that is built with an export of its own for `Py_Initialize` and imports, and a `_start` that goes
on from there; and a server that takes artifacts, where `selvedge serve` compiles the modules that it is sent.
"""

import os
import sys
from urllib.parse import parse_qs


def head(status):
    sys.stdout.write(f"Status: {status}\nContent-Type: text/plain; charset=utf-8\n\n")


def hello():
    query = parse_qs(os.environ.get("QUERY_STRING", ""))
    name = query.get("name", ["world"])[0]
    head("200 OK")
    print(f"hello, {name}, from Python")


def count():
    """Reads a body of any length, a piece at a time."""
    size = lines = 0
    while piece := sys.stdin.buffer.read(65536):
        size += len(piece)
        lines += piece.count(b"\n")
    head("200 OK")
    print(f"{size} bytes, {lines} lines")


def numbers():
    """Writes more than fits into any buffer: a client has the beginning before the end is there."""
    head("200 OK")
    for number in range(1, 100_001):
        print(number)


def main():
    method, path = os.environ["REQUEST_METHOD"], os.environ["PATH_INFO"]
    services = {("GET", "/"): hello, ("POST", "/count"): count, ("GET", "/numbers"): numbers}
    # Of what answers HEAD the server leaves the body out.
    if service := services.get(("GET" if method == "HEAD" else method, path)):
        return service()
    if allowed := {"/": "GET, HEAD", "/count": "POST", "/numbers": "GET, HEAD"}.get(path):
        head(f"405 Method Not Allowed\nAllow: {allowed}")
        return print(f"allowed here: {allowed}")
    print(f"nothing for {method} {path}", file=sys.stderr)
    head("404 Not Found")
    print(f"there is nothing at {path}")


main()
