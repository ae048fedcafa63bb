/**
 * Keeps instances apart where there are no network namespaces (`--isolation=process`).
 *
 * Every function then shares the host's network, and two programs that both listen on port 3000 would
 * collide. Listening on loopback or on any address becomes listening on `LAMBENT_BIND_ADDRESS`, which
 * the server chose for this instance; a connection to such a port of our own follows. It is no security
 * boundary.
 */

import net from "node:net";

const OURS = /^(|0\.0\.0\.0|localhost|::|::1|127\.\d+\.\d+\.\d+)$/;

/** `onListen(host, port)` is called when a TCP server listens. */
export function install(address, onListen) {
  const ports = new Set();
  const { listen } = net.Server.prototype;
  const { connect } = net.Socket.prototype;

  net.Server.prototype.listen = function (...values) {
    this.once("listening", () => {
      const bound = this.address();
      if (bound === null || typeof bound === "string") return;
      ports.add(bound.port);
      onListen?.(bound.address, bound.port);
    });
    return listen.apply(this, rewriteListen(values, address));
  };

  net.Socket.prototype.connect = function (...values) {
    // Node's own callers pass the arguments already normalised, as one marked array.
    const options = Array.isArray(values[0]) ? values[0][0] : values[0];
    if (typeof options === "object" && options !== null && ports.has(Number(options.port))) {
      if (OURS.test(options.host ?? "")) options.host = address;
    }
    return connect.apply(this, values);
  };
}

/** The arguments of `listen` with their host replaced; paths and handles stay. */
function rewriteListen(values, address) {
  const [first, ...rest] = values;
  if (typeof first === "object" && first !== null) {
    if (first.path !== undefined || first.fd !== undefined || first.port === undefined) return values;
    return OURS.test(first.host ?? "") ? [{ ...first, host: address, ipv6Only: false }, ...rest] : values;
  }
  if (typeof first === "function" || first === undefined || first === null) {
    return [{ port: 0, host: address }, ...values.filter((value) => typeof value === "function")];
  }
  if (!/^\d+$/.test(String(first))) return values;
  const host = typeof rest[0] === "string" ? rest[0] : "";
  if (!OURS.test(host)) return values;
  const backlog = rest.find((value) => typeof value === "number");
  const callback = rest.find((value) => typeof value === "function");
  return [{ port: Number(first), host: address, backlog }, ...(callback ? [callback] : [])];
}
