"""What crun and runc run: the same hello as Lambent's handler, as an HTTP server for one request.

It answers on a listener that it inherits as descriptor 3, so no network has to be set up for it, and it
imports nothing but the C part of `socket`: less than Lambent's shim, which has to speak a protocol. After
one answer it ends, and its container with it.
"""

import _socket

BODY = b'{"message":"Hello, World!"}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)

listener = _socket.socket(fileno=3)
descriptor, _ = listener._accept()
connection = _socket.socket(fileno=descriptor)
while b"\r\n\r\n" not in connection.recv(65536):
    pass
connection.sendall(HEAD + BODY)
connection.close()
