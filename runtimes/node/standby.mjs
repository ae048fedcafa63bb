/**
 * Before a function is known: makes everything ready that every function needs, and later becomes one.
 *
 * `prepare` runs once, before the shim says Waiting: it loads what handlers usually load and calls two handlers of
 * our own, so that the first call of the user's finds compiled code. `become` runs once, at the Assign frame. Nothing
 * of a user's is there before that.
 */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

import { invoke } from "./invocation.mjs";
import { load } from "./loading.mjs";

const USUAL = ["node:crypto", "node:http", "node:https", "node:stream/promises", "node:timers/promises", "node:zlib"];
const REHEARSALS = ["module.handler", "common.handler"];
const CALLS = 3;

/** Loads and calls what is ours, as if it were a user's. */
export async function prepare() {
  await Promise.all(USUAL.map((name) => import(name)));
  const root = fileURLToPath(new URL("./rehearsal", import.meta.url));
  const nobody = { send() {}, hold() {}, release() {} };
  const head = { request_id: "rehearsal", deadline_ms: Date.now() + 1000, arn: "" };
  for (const name of REHEARSALS) {
    const handler = await load(root, name);
    for (let call = 0; call < CALLS; call += 1) {
      await invoke(nobody, handler, 1, head, Buffer.from('{"rehearsal":true}'));
    }
  }
  const { cache } = createRequire(import.meta.url);
  for (const name of Object.keys(cache)) delete cache[name];
}

/** Takes the environment and the directory of a function. */
export function become({ environment, directory }) {
  const wanted = new Map(environment);
  for (const name of Object.keys(process.env)) {
    if (!wanted.has(name)) delete process.env[name];
  }
  for (const [name, value] of wanted) {
    if (process.env[name] !== value) process.env[name] = value;
  }
  process.chdir(directory);
}
