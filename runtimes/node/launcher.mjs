/**
 * Runs a program that serves on its own socket where there are no namespaces: `--run FILE [ARGUMENT...]`.
 *
 * The program runs unchanged; its listeners are rewritten (`binding.mjs`) and reported, because the
 * kernel's notification may be refused there. Under namespaces such a program is started directly.
 */

import Module from "node:module";
import { resolve } from "node:path";

import { install } from "./binding.mjs";
import { Connection, LISTENING } from "./frames.mjs";

/** Runs the program `file` as if Node had been started with it. */
export function run(file) {
  const descriptor = Number(process.env.LAMBENT_FRAMES_FD ?? 3);
  delete process.env.LAMBENT_FRAMES_FD;
  const connection = new Connection(descriptor, () => {}, () => {});
  connection.release();
  const address = process.env.LAMBENT_BIND_ADDRESS;
  if (address) install(address, (host, port) => connection.send(LISTENING, 0, { host, port }));
  const program = resolve(file);
  process.argv = [process.argv[0], program, ...process.argv.slice(4)];
  // As the main module, so that `require.main === module` holds.
  Module.runMain();
}
