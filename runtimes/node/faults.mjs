/**
 * Errors on their way to the server, under AWS's error types, with the stack as Node prints it.
 *
 * A `Fault` is an error the shim names itself; anything else was thrown by the user's code.
 */

import { isNativeError } from "node:util/types";

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
    const stack = String(error.stack ?? "").split("\n");
    return { error_type: String(error.name), message: String(error.message), stack_trace: stack };
  }
  return { error_type: typeof error, message: String(error), stack_trace: [] };
}

/** A log line in AWS's form: the title, then the error as JSON with its own properties. */
export function logLine(title, error, head) {
  const own = typeof error === "object" && error !== null ? { ...error } : {};
  delete own.stackTrace;
  delete own.name;
  const values = { errorType: head.error_type, errorMessage: head.message, ...own, stack: head.stack_trace };
  return [`${title}\t${JSON.stringify(values)}`];
}
