"""How gunicorn is run as a peer: the settings that cost it least, for the first byte and per request.

Why this is its best:

* `gthread` keeps connections open between requests. The default `sync` worker closes each one, and costs
  more per request with a connection each. Of one, two and more threads, two cost least: with one, the
  worker's only thread alternates with the one that accepts.
* As many workers as the machine has CPUs, as many as Lambent may use for instances at this load.
* No access log, and no heartbeat files on a disk.
* Its listener is handed to it already open (`--bind fd://N`, socket activation), so the first request
  waits in the kernel and is answered the moment the first worker is up, without a single lost poll.
"""

import os

workers = os.cpu_count()
worker_class = "gthread"
threads = 2
keepalive = 60
timeout = 60
accesslog = None
errorlog = os.devnull
worker_tmp_dir = "/dev/shm"
