"""Have a command run by the server: python -IS client.py SOCKET ARGUMENT..."""

import json
import os
import signal
import socket
import sys

address, *arguments = sys.argv[1:]
mask = os.umask(0)
os.umask(mask)
request = {"arguments": arguments, "variables": dict(os.environ), "folder": os.path.realpath("."), "mask": mask}

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(address)
    socket.send_fds(connection, [b"\n"], [0, 1, 2])
    connection.sendall(json.dumps(request).encode())
    connection.shutdown(socket.SHUT_WR)
    with connection.makefile() as answers:
        if process := int(answers.readline()):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda number, _: os.kill(process, number))
            status = int(answers.readline())
        else:
            # The server cannot take over these variables.
            os.execv(sys.executable, [sys.executable, "-m", "retailpipe", *arguments])

if os.WIFSIGNALED(status):
    signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.waitstatus_to_exitcode(status))
