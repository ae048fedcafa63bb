"""The Python shim where there are no namespaces: binds are rewritten and listeners reported."""

import socket
import unittest
import urllib.request

from harness import LISTENING, Shim, WithSite

ADDRESS = "127.0.0.77"
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(repr((__name__, sys.argv[1:])).encode())
    def log_message(self, *arguments):
        pass
if __name__ == "__main__":
    http.server.HTTPServer((HOST, PORT), Handler).serve_forever()
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def get(host, port):
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
        return answer.read().decode()


class Programs(unittest.TestCase):
    def run_program(self, source, address=ADDRESS, **environment):
        environment["LAMBENT_BIND_ADDRESS"] = address
        return Shim(self, {"main.py": source}, "", environment, arguments=("--run", "main.py", "--flag"))

    def listening(self, shim):
        kind, stream, head, _ = shim.receive() or (None, None, shim.output(), None)
        self.assertEqual((kind, stream), (LISTENING, 0), head)
        return head

    def test_two_programs_on_one_port_are_kept_apart(self):
        port = free_port()
        for host in ("'127.0.0.1'", "'localhost'", "''", "'0.0.0.0'"):
            with self.subTest(host):
                source = SERVER.replace("HOST", host).replace("PORT", str(port))
                for address in ("127.0.0.78", "127.0.0.79"):
                    shim = self.run_program(source, address)
                    self.assertEqual(self.listening(shim), {"host": address, "port": port})
                    self.assertEqual(get(address, port), "('__main__', ['--flag'])")
                    with self.assertRaises(OSError):
                        get("127.0.0.1", port)
                    shim.process.kill()
                    shim.wait()

    def test_a_program_reaches_its_own_port(self):
        shim = self.run_program("""
            import socket, threading, urllib.request
            listener = socket.create_server(("0.0.0.0", 0))
            port = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as client:
                peer, address = listener.accept()
                print(address[0], client.getpeername()[0], flush=True)
        """)
        self.listening(shim)
        self.assertEqual(shim.wait(), 0)
        self.assertEqual(shim.output().split()[1], ADDRESS)

    def test_asyncio_servers_on_every_family(self):
        shim = self.run_program("""
            import asyncio
            async def main():
                server = await asyncio.start_server(lambda reader, writer: writer.close(), None, 5055)
                await server.serve_forever()
            asyncio.run(main())
        """)
        self.assertEqual(self.listening(shim), {"host": ADDRESS, "port": 5055})
        with socket.create_connection((ADDRESS, 5055), 10) as client:
            self.assertEqual(client.recv(1), b"")

    def test_an_own_server_started_by_a_handlers_module_is_rewritten_too(self):
        source = """
            import socket
            listener = socket.create_server(('127.0.0.1', 0))
            def handler(event, context):
                return listener.getsockname()[0]
        """
        shim = Shim(self, {"main.py": source}, "main.handler", {"LAMBENT_BIND_ADDRESS": ADDRESS})
        shim.ready()
        self.assertEqual(shim.result({}), ADDRESS)

    def test_a_server_that_no_longer_listens_to_reports_does_not_end_the_program(self):
        shim = self.run_program("""
            import os, socket
            while not os.path.exists("go"):
                os.sched_yield()
            socket.create_server(("127.0.0.1", 0))
            print("served")
        """)
        shim.close()
        (shim.root / "go").touch()
        self.assertEqual((shim.wait(), shim.output()), (0, "served\n"))

    def test_exit_status_is_the_programs(self):
        shim = self.run_program("import sys\nsys.exit(7)\n")
        self.assertEqual(shim.wait(), 7)


class FlaskPrograms(WithSite):
    def test_an_unmodified_flask_program_with_its_reloader(self):
        source = "from flask import Flask\napp = Flask(__name__)\n"
        source += "@app.route('/')\ndef hello():\n    return 'Hello, World!'\n"
        source += f"if __name__ == '__main__':\n    app.run(debug=True, port={(port := free_port())})\n"
        environment = {**self.site, "LAMBENT_BIND_ADDRESS": ADDRESS}
        shim = Shim(self, {"main.py": source}, "", environment, arguments=("--run", "main.py"))
        kind, _, head, _ = shim.receive()
        self.assertEqual((kind, head), (LISTENING, {"host": ADDRESS, "port": port}))
        self.assertEqual(get(ADDRESS, port), "Hello, World!")
        self.assertIn("the reloader is off", shim.output())


if __name__ == "__main__":
    unittest.main()
