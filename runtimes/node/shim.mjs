/**
 * The life of a shim: prepare, load what the handler names, say Ready, answer events until the server
 * goes.
 *
 * Created by `bootstrap.mjs`, once per process. It ends when the server closes the socket (status 0),
 * when init fails (`InitFailed`, status 1), on an error nobody caught (`Failed`, status 129), or when
 * the user's code ends the process.
 */

import { enter, install as installConsole, line } from "./console.mjs";
import { describe, Fault, logLine } from "./faults.mjs";
import * as frames from "./frames.mjs";
import { invoke } from "./invocation.mjs";
import { load } from "./loading.mjs";
import { install as installStreaming } from "./streaming.mjs";

const UNCAUGHT_STATUS = 129;
const UNHANDLED_STATUS = 128;

/** Runs the shim in this process. With `standby` it first waits to be told which function it is for. */
export async function main(standby) {
  const descriptor = Number(process.env.LAMBENT_FRAMES_FD ?? 3);
  delete process.env.LAMBENT_FRAMES_FD;
  process.argv.splice(1);
  installConsole();
  installStreaming();
  if (process.env.LAMBENT_BIND_ADDRESS) (await import("./binding.mjs")).install(process.env.LAMBENT_BIND_ADDRESS);

  const state = { handler: undefined, current: undefined, early: [], connection: undefined, assign: undefined };
  const assignment = new Promise((resolve) => (state.assign = resolve));
  const onFrame = (kind, stream, head, body) => {
    if (kind === frames.ASSIGN) state.assign(head);
    else if (state.handler === undefined) state.early.push([kind, stream, head, body]);
    else accept(state, kind, stream, head, body);
  };
  state.connection = new frames.Connection(descriptor, onFrame, () => process.exit(0));
  if (standby !== undefined) {
    await standby.prepare();
    state.connection.send(frames.WAITING, 0);
    standby.become(await assignment);
  }
  watch(state);
  const root = process.env.LAMBDA_TASK_ROOT ?? process.cwd();
  const name = process.env._HANDLER ?? "";
  try {
    state.handler = await load(root, name);
  } catch (error) {
    fail(state, error, "Uncaught Exception", 1);
    return;
  }
  state.connection.send(frames.READY, 0, { serves: "handler", found: `${name}: handler` });
  for (const frame of state.early.splice(0)) accept(state, ...frame);
}

function accept(state, kind, stream, head, body) {
  if (kind === frames.EVENT) {
    enter(head.request_id);
    state.current = stream;
    const ended = () => {
      if (state.current === stream) state.current = undefined;
    };
    invoke(state.connection, state.handler, stream, head, body).then(ended);
  } else if (kind === frames.REQUEST) {
    const message = "a web application is not served by the Node shim: set the tag lambent:server=own";
    state.connection.send(frames.FAILED, stream, describe(new Fault("Runtime.Protocol", message)));
  }
  // A Cancel changes nothing: the handler finishes and the server discards the answer.
}

/** Errors that nobody catches end the process, after they are reported. */
function watch(state) {
  process.on("uncaughtException", (error) => fail(state, error, "Uncaught Exception", UNCAUGHT_STATUS));
  process.on("unhandledRejection", (reason) => {
    const original = describe(reason);
    const message = original.error_type === "string" ? original.message : String(reason);
    const fault = new Fault("Runtime.UnhandledPromiseRejection", message, original.stack_trace);
    fault.reason = original.message;
    fail(state, fault, "Unhandled Promise Rejection", UNHANDLED_STATUS);
  });
}

function fail(state, error, title, status) {
  const head = describe(error);
  line("ERROR", logLine(title, error, head));
  const exit = () => process.exit(status);
  if (state.handler === undefined) state.connection.send(frames.INIT_FAILED, 0, head, undefined, exit);
  else if (state.current !== undefined) state.connection.send(frames.FAILED, state.current, head, undefined, exit);
  else exit();
}
