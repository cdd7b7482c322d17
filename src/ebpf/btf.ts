/**
 * Type information (BTF) that we write: for callbacks and timers, which the kernel takes only from programs and maps
 * that say their types, and for our remarks in the verifier's log. Only the kinds that this needs. Format: the
 * kernel's Documentation/bpf/btf.rst, linux/btf.h.
 */
import { loadBtf, type ProgramDebugInfo } from '../sys/bpf.ts';
import type { Assembly } from './assemble.ts';

const MAGIC = 0xeb9f;
const HEADER = 24;
const KIND = { int: 1, pointer: 2, array: 3, struct: 4, func: 12, funcProto: 13 } as const;
const SIGNED = 1;

/** A field of a structure. */
export interface BtfMember {
  readonly name: string;
  /** Number of its type. */
  readonly type: number;
  /** In bytes from the start of the structure. */
  readonly offset: number;
}

/** Collects types and texts. Each method returns the number of the type that it adds; 0 is void. */
export class BtfBuilder {
  private readonly strings: number[] = [0];
  private readonly offsets = new Map<string, number>([['', 0]]);
  private readonly words: number[] = [];
  private types = 0;

  /** Keeps a text; returns where it stands. */
  text(text: string): number {
    const known = this.offsets.get(text);
    if (known !== undefined) return known;
    const at = this.strings.length;
    this.offsets.set(text, at);
    // A zero would end the text early.
    for (const byte of new TextEncoder().encode(text.replaceAll('\0', ' '))) this.strings.push(byte);
    this.strings.push(0);
    return at;
  }

  private add(name: string, kind: number, count: number, sizeOrType: number, ...rest: number[]): number {
    this.words.push(this.text(name), (kind << 24) | count, sizeOrType, ...rest);
    return ++this.types;
  }

  int(name: string, bytes: 1 | 2 | 4 | 8, signed = false): number {
    return this.add(name, KIND.int, 0, bytes, ((signed ? SIGNED : 0) << 24) | (bytes * 8));
  }

  pointer(to: number): number {
    return this.add('', KIND.pointer, 0, to);
  }

  array(element: number, index: number, count: number): number {
    return this.add('', KIND.array, 0, 0, element, index, count);
  }

  struct(name: string, bytes: number, members: readonly BtfMember[]): number {
    const rest = members.flatMap((m) => [this.text(m.name), m.type, m.offset * 8]);
    return this.add(name, KIND.struct, members.length, bytes, ...rest);
  }

  functionProto(result: number, parameters: readonly { name: string; type: number }[] = []): number {
    const rest = parameters.flatMap((p) => [this.text(p.name), p.type]);
    return this.add('', KIND.funcProto, parameters.length, result, ...rest);
  }

  /** A static function. The kernel wants names of letters, digits and underscores. */
  func(name: string, proto: number): number {
    return this.add(identifier(name), KIND.func, 0, proto);
  }

  build(): Uint8Array {
    const typeBytes = this.words.length * 4;
    const bytes = new Uint8Array(HEADER + typeBytes + this.strings.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, MAGIC, true);
    view.setUint8(2, 1);
    view.setUint32(4, HEADER, true);
    view.setUint32(12, typeBytes, true);
    view.setUint32(16, typeBytes, true);
    view.setUint32(20, this.strings.length, true);
    this.words.forEach((word, i) => void view.setUint32(HEADER + i * 4, word, true));
    bytes.set(this.strings, HEADER + typeBytes);
    return bytes;
  }

  /** Gives it to the kernel. The descriptor is the caller's to close, when all that refers to it is loaded. */
  load(): number {
    return loadBtf(this.build());
  }
}

/** `text` as the kernel takes it for the name of a function. */
const identifier = (text: string): string => text.replace(/^(?=\d)|[^A-Za-z0-9_]/g, '_').slice(0, 127) || '_';

/**
 * Adds the functions of a program to `btf`, and what the kernel needs to show our remarks: a record for each function,
 * and one for each note.
 */
export function describeProgram(
  btf: BtfBuilder,
  program: Assembly,
): Pick<ProgramDebugInfo, 'functions' | 'lines'> {
  const proto = btf.functionProto(btf.int('int', 4, true));
  const functions = new Uint32Array(program.functions.flatMap((f) => [f.slot, btf.func(f.name, proto)]));
  const lines = new Uint32Array(
    program.remarks().flatMap(({ slot, text, position }) => {
      const { file, line } = position ?? { file: 'generated', line: 0 };
      return [slot, btf.text(file), btf.text(text), (Math.min(line, 0x3f_ffff) << 10) >>> 0];
    }),
  );
  return { functions: new Uint8Array(functions.buffer), lines: new Uint8Array(lines.buffer) };
}
