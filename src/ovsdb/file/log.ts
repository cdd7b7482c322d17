/**
 * # The database file
 *
 * A file is a series of records. A record is a header line and as many bytes as the header says:
 *
 *     OVSDB JSON <length> <SHA-1 of those bytes, in hex>\n
 *     {...}\n
 *
 * The first record is the schema, each further one a transaction (ovsdb(5)). A record counts only if
 * it is whole: its length and its hash must be right. After a crash the last one may be torn. Reading
 * stops there, and the next write begins where the last good record ends, cutting the rest off. What
 * stood before is never written to again, so a crash cannot harm it.
 *
 * Compaction writes a new file beside the old one and renames it over, after it is safely on disk.
 */
import { hash } from 'node:crypto';
import { OvsdbError, syntaxError } from '../error.ts';
import { isJsonObject, type Json, type JsonObject, stringify } from '../json.ts';
import { JsonSyntaxError, parseJson } from '../rpc/parse.ts';

/**
 * An open file. Methods throw errors whose message says what the operating system says. The real one
 * is in `bin`; tests have one in memory that can tear and fail.
 */
export interface FileAccess {
  /** For messages: the name that the user gave. */
  readonly name: string;
  /** Up to `length` bytes from `offset`; fewer only at the end of the file. */
  read(offset: number, length: number): Uint8Array;
  /** Writes all of `bytes` at `offset`. */
  write(offset: number, bytes: Uint8Array): void;
  truncate(length: number): void;
  /** Resolves when all that was written is on disk. */
  sync(): Promise<void>;
  /** Replaces the file, all or nothing, and has the new content on disk before it returns. */
  replace(bytes: Uint8Array): void;
  close(): void;
}

/** What a file is: a database of its own, or the log of a cluster's member. */
export type Magic = 'JSON' | 'CLUSTER';

const MAX_HEADER = 128;
const HEADER = /^OVSDB ([^ ]+) ([0-9]{1,15}) ([0-9a-fA-F]{40})\n$/;
const encoder = new TextEncoder();

/** One record as it stands in the file. */
export function composeRecord(json: JsonObject, magic: Magic = 'JSON'): Uint8Array {
  const data = `${stringify(json)}\n`;
  // Nearly always the text is as long in bytes; where it is not, the header is written anew.
  const sha1 = hash('sha1', data);
  const header = (length: number): string => `OVSDB ${magic} ${length} ${sha1}\n`;
  const head = header(data.length);
  const record = encoder.encode(head + data);
  if (record.length === head.length + data.length) return record;
  return encoder.encode(header(record.length - head.length) + data);
}

function ioError(error: unknown, what: string): OvsdbError {
  return new OvsdbError('I/O error', what, {
    io: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}

/** A database file that is first read to its end and then appended to. */
export class Log {
  readonly #file: FileAccess;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #magic: Magic = 'JSON';
  /** Where the next record begins, for reading and for writing alike. */
  #offset = 0;
  #previous = 0;
  #buffer: Uint8Array = new Uint8Array(0);
  #bufferStart = 0;
  #readError: OvsdbError | undefined;
  /** Bytes behind `#offset` are to be cut off before the next write. */
  #mustTruncate = true;

  constructor(file: FileAccess) {
    this.#file = file;
  }

  get name(): string {
    return this.#file.name;
  }

  /** Bytes of good records so far. */
  get size(): number {
    return this.#offset;
  }

  /** What the file is, by its first line. Throws unless it is something that we can serve. */
  identify(): Magic {
    const header = this.#peekLine(0);
    if (header === '') throw new OvsdbError('ovsdb error', `${this.name}: cannot identify file type`);
    const match = HEADER.exec(header);
    if (match === null) throw new OvsdbError('ovsdb error', `${this.name}: unexpected file format`);
    const [, magic] = match;
    if (magic !== 'JSON' && magic !== 'CLUSTER') {
      throw new OvsdbError('ovsdb error', `${this.name}: cannot identify file type`);
    }
    this.#magic = magic;
    return magic;
  }

  #bytes(offset: number, length: number): Uint8Array {
    const start = offset - this.#bufferStart;
    if (start < 0 || start + length > this.#buffer.length) {
      try {
        this.#buffer = this.#file.read(offset, Math.max(length, 1 << 16));
      } catch (error) {
        throw ioError(error, `${this.name}: read failed`);
      }
      this.#bufferStart = offset;
      return this.#buffer.subarray(0, length);
    }
    return this.#buffer.subarray(start, start + length);
  }

  #peekLine(offset: number): string {
    const bytes = this.#bytes(offset, MAX_HEADER);
    const end = bytes.indexOf(0x0a);
    const length = end < 0 ? bytes.length : end + 1;
    let line = '';
    for (let i = 0; i < length; i++) line += String.fromCharCode(bytes[i]);
    return line;
  }

  /**
   * The next record, or null at the end of the file. Throws `OvsdbError` where the file is damaged,
   * and does so again at each further call.
   */
  read(): JsonObject | null {
    if (this.#readError !== undefined) throw this.#readError;
    try {
      return this.#readRecord();
    } catch (error) {
      if (error instanceof OvsdbError) this.#readError = error;
      throw error;
    }
  }

  #readRecord(): JsonObject | null {
    const header = this.#peekLine(this.#offset);
    if (header === '') return null;
    const match = HEADER.exec(header);
    if (match === null || match[1] !== this.#magic || Number(match[2]) === 0) {
      const line = header.replace(/\n$/, '');
      throw syntaxError(
        undefined,
        `${this.name}: parse error at offset ${this.#offset} in header line "${line}"`,
      );
    }
    const length = Number(match[2]);
    const start = this.#offset + header.length;
    const data = this.#bytes(start, length);
    const where = `${length} bytes starting at offset ${start}`;
    if (data.length < length) {
      throw new OvsdbError('I/O error', `${this.name}: error reading ${where}`, { io: 'End of file' });
    }
    const sha1 = hash('sha1', data);
    if (sha1 !== match[3].toLowerCase()) {
      throw syntaxError(
        undefined,
        `${this.name}: ${where} have SHA-1 hash ${sha1} but should have hash ${match[3]}`,
      );
    }
    const json = this.#parse(data, where);
    if (!isJsonObject(json)) throw syntaxError(undefined, `${this.name}: ${where} are not a JSON object`);
    this.#previous = this.#offset;
    this.#offset = start + length;
    return json;
  }

  #parse(data: Uint8Array, where: string): Json {
    try {
      return parseJson(this.#decoder.decode(data));
    } catch (error) {
      const why = error instanceof JsonSyntaxError ? error.message : 'not UTF-8';
      throw syntaxError(undefined, `${this.name}: ${where} are not valid JSON (${why})`);
    }
  }

  /** Takes back the last `read`: the record was whole but makes no sense. The next write replaces it. */
  unread(): void {
    this.#offset = this.#previous;
  }

  /** Appends a record, or throws `OvsdbError` ("I/O error") leaving what stood there. */
  append(json: JsonObject): void {
    const record = composeRecord(json, this.#magic);
    try {
      if (this.#mustTruncate) this.#file.truncate(this.#offset);
      this.#mustTruncate = false;
      this.#file.write(this.#offset, record);
    } catch (error) {
      this.#mustTruncate = true;
      throw ioError(error, `${this.name}: write failed`);
    }
    this.#offset += record.length;
  }

  async sync(): Promise<void> {
    try {
      await this.#file.sync();
    } catch (error) {
      throw ioError(error, `${this.name}: fsync failed`);
    }
  }

  /** Replaces the whole content by these records. */
  replace(records: readonly JsonObject[]): void {
    const parts = records.map((json) => composeRecord(json, this.#magic));
    const bytes = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    try {
      this.#file.replace(bytes);
    } catch (error) {
      throw ioError(error, `${this.name}: could not be replaced`);
    }
    this.#offset = bytes.length;
    this.#mustTruncate = false;
    this.#buffer = new Uint8Array(0);
    this.#bufferStart = 0;
  }

  close(): void {
    this.#file.close();
  }
}
