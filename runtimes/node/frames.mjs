/**
 * Native frames: reads and writes them on the inherited socket. Knows nothing of what they mean.
 *
 * The layout is in docs/protocols/frames.md. A `Connection` lives as long as the process; `onEnd` is
 * called once, when the server has closed its end.
 */

import { Socket } from "node:net";

import { Fault } from "./faults.mjs";

export const EVENT = 1;
export const REQUEST = 2;
export const CANCEL = 3;
export const ASSIGN = 4;
export const READY = 16;
export const INIT_FAILED = 17;
export const RESULT = 18;
export const FAILED = 19;
export const LISTENING = 23;
export const WAITING = 24;

// A longer frame ends the connection.
const LONGEST_FRAME = 64 * 1024 * 1024;
const PREFIX = 13;
// What follows the length field and comes before the head.
const FIXED = PREFIX - 4;

export class Connection {
  #socket;
  #chunks = [];
  #held = 0;
  #onFrame;

  /** `onFrame(kind, stream, head, body)` is called for each frame, in order. */
  constructor(descriptor, onFrame, onEnd) {
    this.#onFrame = onFrame;
    this.#socket = new Socket({ fd: descriptor, readable: true, writable: true });
    this.#socket.on("data", (data) => this.#feed(data));
    this.#socket.once("close", onEnd);
    this.#socket.on("error", () => {}); // "close" follows.
  }

  /** Writes one frame; `done` is called once the kernel has it. */
  send(kind, stream, head, body, done) {
    const headBytes = Buffer.from(head === undefined ? "{}" : JSON.stringify(head));
    const bodyBytes = body === undefined ? Buffer.alloc(0) : Buffer.from(body);
    const length = FIXED + headBytes.length + bodyBytes.length;
    if (length > LONGEST_FRAME) {
      const message = `Response payload is too large: ${bodyBytes.length} bytes do not fit in one frame`;
      throw new Fault("Function.ResponseSizeTooLarge", message);
    }
    const frame = Buffer.allocUnsafe(4 + length);
    frame.writeUInt32BE(length, 0);
    frame.writeUInt8(kind, 4);
    frame.writeUInt32BE(stream, 5);
    frame.writeUInt32BE(headBytes.length, 9);
    headBytes.copy(frame, PREFIX);
    bodyBytes.copy(frame, PREFIX + headBytes.length);
    this.#socket.write(frame, done);
  }

  /** Lets the process end when nothing but this connection is left to wait for. */
  release() {
    this.#socket.unref();
  }

  /** Keeps the process alive for this connection. */
  hold() {
    this.#socket.ref();
  }

  #feed(data) {
    this.#chunks.push(data);
    this.#held += data.length;
    while (this.#held >= PREFIX) {
      // Joined only when the frame is whole: a large body in many reads is copied once.
      if (this.#chunks[0].length < PREFIX) this.#join();
      const length = this.#chunks[0].readUInt32BE(0);
      if (length > LONGEST_FRAME) return this.#socket.destroy();
      if (this.#held < 4 + length) return;
      this.#join();
      const buffer = this.#chunks[0];
      this.#held -= 4 + length;
      this.#chunks = this.#held > 0 ? [buffer.subarray(4 + length)] : [];
      this.#deliver(buffer.subarray(0, 4 + length));
    }
  }

  #join() {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
  }

  #deliver(frame) {
    const bodyAt = PREFIX + frame.readUInt32BE(9);
    const head = JSON.parse(frame.toString("utf8", PREFIX, bodyAt));
    this.#onFrame(frame.readUInt8(4), frame.readUInt32BE(5), head, frame.subarray(bodyAt));
  }
}
