/**
 * `console` as AWS's runtime writes it: time, request id, level and message, separated by tabs.
 *
 * Lines are written to descriptor 1 at once, so that a kill loses none. `process.stdout` stays as it is.
 */

import { writeSync } from "node:fs";
import { format } from "node:util";

const LEVELS = { trace: "TRACE", debug: "DEBUG", log: "INFO", info: "INFO", warn: "WARN", error: "ERROR" };

let requestId;

/** Says whose lines follow. */
export function enter(id) {
  requestId = id;
}

/** Replaces the methods of the global console. */
export function install() {
  for (const [method, level] of Object.entries(LEVELS)) {
    console[method] = (...values) => line(level, values);
  }
  console.fatal = (...values) => line("FATAL", values);
}

/** Writes one line of the given level. */
export function line(level, values) {
  const text = Buffer.from(`${new Date().toISOString()}\t${requestId}\t${level}\t${format(...values)}\n`);
  let written = 0;
  while (written < text.length) {
    try {
      written += writeSync(1, text, written);
    } catch (error) {
      // The pipe is full and somebody made it non-blocking: the reader is the server, it comes.
      if (error.code !== "EAGAIN") return;
    }
  }
}
