/**
 * Calls a Lambda handler with one event and sends back its result or its error.
 *
 * A handler answers by a promise, by its callback, or by `context.done`; the first answer counts. A
 * handler that does none of these answers `null` once nothing is left to wait for, as on AWS.
 */

import { line } from "./console.mjs";
import { makeContext } from "./context.mjs";
import { describe, Fault, logLine } from "./faults.mjs";
import * as frames from "./frames.mjs";
import { collect, isStreaming } from "./streaming.mjs";

/** Handles one Event frame; the stream is ended when the promise resolves. It never rejects. */
export async function invoke(connection, handler, stream, head, body) {
  let answer;
  try {
    setTrace(head.trace);
    answer = await call(connection, handler, head, body);
    connection.send(frames.RESULT, stream, undefined, answer);
  } catch (error) {
    const failure = describe(error);
    line("ERROR", logLine("Invoke Error", error, failure));
    connection.send(frames.FAILED, stream, failure);
  }
}

async function call(connection, handler, head, body) {
  const event = parse(body, "Runtime.UnmarshalError", "Unable to unmarshal input");
  const clientContext =
    head.client_context === undefined
      ? undefined
      : parse(head.client_context, "Runtime.LambdaContextUnmarshalError", "Unable to parse client context");
  if (isStreaming(handler)) return collect(handler, event, makeContext(head, clientContext, () => {}));
  return toText(await answerOf(connection, handler, event, head, clientContext));
}

/** The first answer of a handler, whichever way it gives it. */
function answerOf(connection, handler, event, head, clientContext) {
  return new Promise((resolve, reject) => {
    let settled = false;
    const quiet = () => settle(null, null);
    const settle = (error, result) => {
      if (settled) return;
      settled = true;
      process.off("beforeExit", quiet);
      connection.hold();
      if (error === null || error === undefined) resolve(result);
      else reject(typeof error === "string" ? new Error(error) : error);
    };
    const returned = handler(event, makeContext(head, clientContext, settle), settle);
    if (typeof returned?.then === "function") {
      returned.then((result) => settle(null, result), reject);
    } else if (!settled) {
      process.once("beforeExit", quiet);
      connection.release();
    }
  });
}

function parse(text, errorType, message) {
  const source = text.toString();
  if (source === "") return {};
  try {
    return JSON.parse(source);
  } catch (error) {
    throw new Fault(errorType, `${message}: ${error.message}`);
  }
}

function toText(result) {
  try {
    return JSON.stringify(result === undefined ? null : result) ?? "null";
  } catch (error) {
    throw new Fault("Runtime.MarshalError", `Unable to stringify response body: ${error.message}`);
  }
}

function setTrace(trace) {
  if (trace === undefined) delete process.env._X_AMZN_TRACE_ID;
  else process.env._X_AMZN_TRACE_ID = trace;
}
