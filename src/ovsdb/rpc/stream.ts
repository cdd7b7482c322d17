import { isJsonArray, isJsonObject, type Json, member, stringify } from '../json.ts';
import type { ByteStream, RpcChannel, RpcHandler, RpcMessage } from './channel.ts';
import { Framer } from './framer.ts';
import { JsonSyntaxError, parseJson } from './parse.ts';

/** Messages larger than this end the connection. Large databases come in one message. */
export const MAX_MESSAGE_BYTES = 512 * 1024 * 1024;

/** A JSON value as a JSON-RPC message. Throws `JsonSyntaxError` if it is none. */
export function messageFromJson(json: Json): RpcMessage {
  if (!isJsonObject(json)) throw new JsonSyntaxError('message is not a JSON object');
  for (const name of Object.keys(json)) {
    if (!['method', 'params', 'id', 'result', 'error'].includes(name)) {
      throw new JsonSyntaxError(`message has unexpected member "${name}"`);
    }
  }
  const method = member(json, 'method');
  const params = member(json, 'params');
  const id = member(json, 'id') ?? null;
  const result = member(json, 'result');
  const error = member(json, 'error');
  if (method !== undefined) {
    if (typeof method !== 'string') throw new JsonSyntaxError('method is not JSON string');
    if (!isJsonArray(params)) throw new JsonSyntaxError(`${method}: "params" must be JSON array`);
    if (result !== undefined || error !== undefined) {
      throw new JsonSyntaxError(`${method}: a request has neither "result" nor "error"`);
    }
    return { method, params, id };
  }
  if (params !== undefined || id === null || (result === undefined && error === undefined)) {
    throw new JsonSyntaxError('message is neither request, notification, reply nor error');
  }
  if ((result ?? null) !== null && (error ?? null) !== null) {
    throw new JsonSyntaxError('reply has both "result" and "error"');
  }
  return { result: result ?? null, error: error ?? null, id };
}

/** JSON-RPC over a byte connection. A peer that sends what is not JSON-RPC is cut off. */
export class StreamChannel implements RpcChannel {
  readonly #stream: ByteStream;
  readonly #framer: Framer;
  readonly #maxMessageBytes: number;
  readonly #encoder = new TextEncoder();
  #handler: RpcHandler | undefined;
  #closed = false;

  constructor(stream: ByteStream, maxMessageBytes = MAX_MESSAGE_BYTES) {
    this.#stream = stream;
    this.#framer = new Framer(maxMessageBytes);
    this.#maxMessageBytes = maxMessageBytes;
  }

  limit(bytes: number = this.#maxMessageBytes): void {
    this.#framer.limit(Math.min(bytes, this.#maxMessageBytes));
  }

  get backlog(): number {
    return this.#stream.backlog;
  }

  send(message: RpcMessage): void {
    if (!this.#closed) this.#stream.write(this.#encoder.encode(stringify(message as unknown as Json)));
  }

  close(): void {
    this.#end('connection closed');
  }

  receive(handler: RpcHandler): void {
    this.#handler = handler;
    this.#stream.receive({
      onBytes: (bytes) => this.#onBytes(bytes),
      onDrain: () => handler.onDrain(),
      onClose: (reason) => this.#end(reason),
    });
  }

  #onBytes(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#handler?.onActivity();
    try {
      this.#framer.feed(bytes, (text) => {
        if (!this.#closed) this.#handler?.onMessage(messageFromJson(parseJson(text)));
      });
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error;
      this.#end(`received bad JSON-RPC message: ${error.message}`);
    }
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.close();
    this.#handler?.onClose(reason);
  }
}
