/**
 * `awslambda.streamifyResponse`: handlers of (event, responseStream, context).
 *
 * The answer is collected and sent whole, as AWS does for a caller that did not ask for a stream. With
 * `HttpResponseStream.from` it becomes the answer of an HTTP integration.
 */

import { Writable } from "node:stream";

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const METADATA = Symbol("metadata");

/** Defines the global `awslambda`. */
export function install() {
  globalThis.awslambda = {
    streamifyResponse(handler) {
      handler[STREAMING] = "response";
      return handler;
    },
    HttpResponseStream: class HttpResponseStream {
      static from(stream, metadata) {
        stream[METADATA] = metadata ?? {};
        return stream;
      }
    },
  };
}

/** Whether a handler was given to `streamifyResponse`. */
export function isStreaming(handler) {
  return handler[STREAMING] !== undefined;
}

/** Runs a streaming handler and gives the JSON text of its whole answer. */
export async function collect(handler, event, context) {
  const chunks = [];
  const stream = new Writable({
    write(chunk, encoding, next) {
      chunks.push(Buffer.from(chunk, encoding));
      next();
    },
  });
  stream.setContentType = (type) => {
    stream[METADATA] = { ...stream[METADATA], headers: { ...stream[METADATA]?.headers, "content-type": type } };
  };
  const finished = new Promise((done, failed) => stream.once("finish", done).once("error", failed));
  await handler(event, stream, context);
  if (!stream.writableEnded) stream.end();
  await finished;
  return toText(Buffer.concat(chunks), stream[METADATA]);
}

function toText(body, metadata) {
  const text = body.toString("utf8");
  const isText = Buffer.from(text, "utf8").equals(body);
  if (metadata !== undefined) {
    const encoded = isText ? text : body.toString("base64");
    return JSON.stringify({ statusCode: 200, ...metadata, body: encoded, isBase64Encoded: !isText });
  }
  try {
    JSON.parse(text);
    return text;
  } catch {
    return JSON.stringify(text);
  }
}
