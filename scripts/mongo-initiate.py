"""Makes the mongod on a local port the primary of a replica set of one: `mongo-initiate.py PORT NAME`.

The server's shell does not come with it, so this speaks the little of its protocol that is needed: commands as OP_MSG, with
BSON of strings, whole numbers, documents and lists of documents.
"""

import socket
import struct
import sys
import time

WITHIN = 30.0


def bson(document):
    body = b""
    for name, value in document.items():
        key = name.encode() + b"\0"
        if isinstance(value, str):
            text = value.encode() + b"\0"
            body += b"\x02" + key + struct.pack("<i", len(text)) + text
        elif isinstance(value, int):
            body += b"\x10" + key + struct.pack("<i", value)
        elif isinstance(value, dict):
            body += b"\x03" + key + bson(value)
        else:
            body += b"\x04" + key + bson({str(index): item for index, item in enumerate(value)})
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def read(connection, length):
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise OSError("the server closed the connection")
        data += part
    return data


def command(port, document):
    """The raw BSON of the server's answer."""
    message = struct.pack("<i", 0) + b"\0" + bson({**document, "$db": "admin"})
    with socket.create_connection(("127.0.0.1", port), timeout=WITHIN) as connection:
        connection.sendall(struct.pack("<iiii", 16 + len(message), 1, 0, 2013) + message)
        (length,) = struct.unpack("<i", read(connection, 4))
        return read(connection, length - 4)


def main():
    port, name = int(sys.argv[1]), sys.argv[2]
    command(port, {"replSetInitiate": {"_id": name, "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]}})
    deadline = time.monotonic() + WITHIN
    # A true boolean of that name; one that is initiated already has refused the command above and answers as well.
    while b"\x08isWritablePrimary\0\x01" not in command(port, {"hello": 1}):
        if time.monotonic() > deadline:
            sys.exit(f"mongo-initiate: the server on port {port} has not become primary within {WITHIN:.0f} s")
        time.sleep(0.05)


main()
