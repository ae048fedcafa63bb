/**
 * Errors on their way to the server, under AWS's error types, with the stack as Node prints it.
 *
 * A `Fault` is an error the shim names itself; anything else was thrown by the user's code.
 */

import { isNativeError } from "node:util/types";

// Frames of these files lead to the user's code and are not part of it.
const OURS = new URL(".", import.meta.url).href;

export class Fault extends Error {
  constructor(errorType, message, stackTrace = []) {
    super(message);
    this.name = errorType;
    this.stackTrace = stackTrace;
  }
}

/** The head of a Failed or InitFailed frame. */
export function describe(error) {
  if (error instanceof Fault) {
    return { error_type: error.name, message: error.message, stack_trace: error.stackTrace };
  }
  if (isNativeError(error) || (error?.name && error?.message && error?.stack)) {
    return { error_type: String(error.name), message: String(error.message), stack_trace: stackTrace(error) };
  }
  return { error_type: typeof error, message: String(error), stack_trace: [] };
}

/** The lines of an error's stack, as far as they are the user's. */
export function stackTrace(error) {
  const lines = String(error?.stack ?? "").split("\n");
  const ours = lines.findIndex((line) => line.includes(OURS));
  const users = ours === -1 ? lines : lines.slice(0, ours);
  // What calls a handler is a promise of ours.
  return users.at(-1)?.endsWith("at new Promise (<anonymous>)") ? users.slice(0, -1) : users;
}

/** A log line in AWS's form: the title, then the error as JSON with its own properties. */
export function logLine(title, error, head) {
  const own = typeof error === "object" && error !== null ? { ...error } : {};
  delete own.stackTrace;
  delete own.name;
  const values = { errorType: head.error_type, errorMessage: head.message, ...own, stack: head.stack_trace };
  return [`${title}\t${JSON.stringify(values)}`];
}
