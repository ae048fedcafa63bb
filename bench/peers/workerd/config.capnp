# How workerd is run as a peer: the settings that cost it least.
#
# Why this is its best: a release build from npm, one module worker, no bindings, no inspector, no tracing
# and no logging of requests; plain HTTP/1.1 with connections kept open; the listener is handed to it
# already open (`--socket-fd http=3`). It runs its JavaScript on one thread; more processes behind one
# port are not something it offers by itself.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .hello)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);

const hello :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.js")],
  compatibilityDate = "2025-01-01",
);
