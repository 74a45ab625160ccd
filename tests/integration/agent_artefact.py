# ruff: noqa: TID251 - an artefact is told everything through its environment
"""A small inference-like server, standard library only: the artefact that the agent's tests run.

What it does beside answering is asked for in its environment: ``TEST_MODE`` is empty, "crash" (end at once),
"unready" (never say ready), "stubborn" (ignore SIGTERM) or "family" (start a child that ignores SIGTERM).
"""

import http.server
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

MODE = os.environ.get("TEST_MODE", "")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/v2/health/ready":
            self.answer({"ready": True})
        elif self.path == "/environment":
            self.answer(dict(os.environ))
        elif self.path == "/process":
            status = Path("/proc/self/status").read_text()
            limits = Path("/proc/self/limits").read_text()
            self.answer({"pid": os.getpid(), "pgid": os.getpgid(0), "limits": limits, "status": status})
        else:
            self.send_error(404)

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve():
    address = (os.environ["HANSA_LISTEN_HOST"], int(os.environ["HANSA_LISTEN_PORT"]))
    server = http.server.ThreadingHTTPServer(address, Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["HANSA_TLS_CERT"], os.environ["HANSA_TLS_KEY"])
    context.load_verify_locations(os.environ["HANSA_CLIENT_CA"])
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    if MODE != "unready":
        Path(os.environ["HANSA_READY_FILE"]).touch()
    server.serve_forever()


if __name__ == "__main__":
    print("started", os.getpid(), flush=True)
    if MODE == "crash":
        sys.exit(3)
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MODE == "family":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # inherited through fork and exec
        child = subprocess.Popen(["sleep", "600"])
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        Path("child.pid").write_text(str(child.pid))
    serve()
