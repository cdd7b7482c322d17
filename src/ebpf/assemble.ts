/**
 * From instructions to bytes, in two passes. The first walks the program, gives every instruction its slot and
 * every label its place; functions go behind the main program. The second fills in what the first one could not
 * know: distances, maps, functions of the kernel. Every error names the instruction, the blocks around it and
 * the place in our source that wrote the innermost one; so does every complaint of the kernel's verifier, since
 * the result remembers where each slot comes from.
 */
import { WeftError } from '../base/errors.ts';
import { formatInstruction } from './format.ts';
import {
  type Block,
  type Code,
  type Instruction,
  type Label,
  type MapReference,
  mapName,
  type Position,
  positionOf,
  type Reference,
  slotsOf,
} from './instruction.ts';
import { OP_GOTOL, OP_JA, SLOT } from './isa.ts';

/** More instructions than this no kernel takes. */
const MAX_SLOTS = 1_000_000;
/** Depth to which lists and blocks may be nested. */
const MAX_DEPTH = 200;

/** What names in a program stand for. */
export interface Symbols {
  /** Maps that the program refers to by name. */
  readonly maps?: Readonly<Record<string, { readonly fd: number }>>;
  /** The number of a function that the kernel exports; undefined if it has none of that name. */
  readonly kernelFunction?: (name: string) => number | undefined;
  /** What the main program is called among the functions. */
  readonly name?: string;
}

/** A function of an assembled program; the first is the main program. */
export interface AssembledFunction {
  readonly name: string;
  /** The slot of its first instruction. */
  readonly slot: number;
}

/** Where a slot of the program comes from. */
export interface Origin {
  readonly instruction: Instruction;
  /** The function that it is in. */
  readonly function: string;
  /** The notes and blocks around it, outermost first. */
  readonly blocks: readonly Block[];
  /** The last label before it in its function, with the distance: "miss" or "miss+3"; empty: none. */
  readonly label: string;
}

interface Scope {
  readonly labels: Map<string, number>;
  readonly parent: Scope | undefined;
}

interface Placed {
  readonly instruction: Instruction;
  readonly slot: number;
  readonly scope: Scope;
  readonly path: Path | undefined;
  readonly functionIndex: number;
}

/** The blocks around an instruction, innermost first. */
interface Path {
  readonly block: Block;
  readonly parent: Path | undefined;
}

/** An assembled program. */
export class Assembly {
  /** The program: 8 bytes a slot. */
  readonly bytes: Uint8Array;
  readonly functions: readonly AssembledFunction[];
  private readonly placed: readonly Placed[];
  private readonly labels: readonly { readonly name: string; readonly slot: number }[];

  constructor(
    bytes: Uint8Array,
    functions: readonly AssembledFunction[],
    placed: readonly Placed[],
    labels: readonly { readonly name: string; readonly slot: number }[],
  ) {
    this.bytes = bytes;
    this.functions = functions;
    this.placed = placed;
    this.labels = labels;
  }

  /** How many slots the program takes. */
  get slots(): number {
    return this.bytes.length / SLOT;
  }

  /** Where a slot comes from; undefined outside the program. The second slot of a wide load is the load's. */
  origin(slot: number): Origin | undefined {
    if (!(slot >= 0 && slot < this.slots)) return undefined;
    const placed = this.placed[lastAtOrBefore(this.placed, slot)]!;
    const fn = this.functions[placed.functionIndex]!;
    const at = lastAtOrBefore(this.labels, placed.slot);
    const label = at < 0 || this.labels[at]!.slot < fn.slot ? undefined : this.labels[at]!;
    const distance = label === undefined ? 0 : placed.slot - label.slot;
    return {
      instruction: placed.instruction,
      function: fn.name,
      blocks: blocksOf(placed.path),
      label: label === undefined ? '' : distance === 0 ? label.name : `${label.name}+${distance}`,
    };
  }

  /** One line on a slot: `instruction 12 "r1 = r2" (mask 3 > load nw_dst; at miss+2; code.ts:40)`. */
  describe(slot: number): string {
    const origin = this.origin(slot);
    if (origin === undefined) return `instruction ${slot}`;
    const where = [origin.blocks.map((b) => b.note).join(' > ')];
    if (origin.label !== '') where.push(`at ${origin.label}`);
    where.push(sourceText(origin.blocks));
    const text = where.filter((part) => part !== '').join('; ');
    return `instruction ${slot} "${formatInstruction(origin.instruction)}"${text === '' ? '' : ` (${text})`}`;
  }

  /** The program as text, with slots, labels and notes. */
  toString(): string {
    const lines: string[] = [];
    let path: Path | undefined;
    let label = 0;
    let fn = 0;
    for (const p of this.placed) {
      for (; fn < this.functions.length && this.functions[fn]!.slot === p.slot; fn++)
        lines.push(`${this.functions[fn]!.name}:`);
      if (p.path !== path) {
        path = p.path;
        const notes = blocksOf(path).map((b) => b.note);
        if (notes.length > 0) lines.push(`  ; ${notes.join(' > ')}`);
      }
      for (; label < this.labels.length && this.labels[label]!.slot === p.slot; label++)
        lines.push(` ${this.labels[label]!.name}:`);
      lines.push(`${String(p.slot).padStart(6)}  ${formatInstruction(p.instruction)}`);
    }
    return lines.join('\n');
  }

  /**
   * The remarks of the program in order: at each slot where another note or block starts, its text and where it was
   * written. The kernel shows them in its log and in `bpftool prog dump`.
   */
  remarks(): { slot: number; text: string; position: Position | undefined }[] {
    const remarks: { slot: number; text: string; position: Position | undefined }[] = [];
    let path: Path | undefined;
    let functionIndex = -1;
    for (const p of this.placed) {
      if (p.path === path && p.functionIndex === functionIndex) continue;
      path = p.path;
      functionIndex = p.functionIndex;
      const notes = blocksOf(path);
      const text =
        notes.length > 0 ? notes.map((b) => b.note).join(' > ') : this.functions[functionIndex]!.name;
      remarks.push({ slot: p.slot, text, position: path === undefined ? undefined : positionOf(path.block) });
    }
    return remarks;
  }
}

function blocksOf(path: Path | undefined): Block[] {
  const blocks: Block[] = [];
  for (let p = path; p !== undefined; p = p.parent) blocks.push(p.block);
  return blocks.reverse();
}

function sourceText(blocks: readonly Block[]): string {
  const last = blocks.at(-1);
  const position = last === undefined ? undefined : positionOf(last);
  return position === undefined ? '' : `${position.file}:${position.line}`;
}

/** The index of the last item whose slot is not above `slot`; -1: none. Items stand in order. */
function lastAtOrBefore(items: readonly { readonly slot: number }[], slot: number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (items[middle]!.slot <= slot) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Assembles a program. Throws `WeftError` "bad-program" for a name that stands for nothing, and the like. */
export function assemble(code: Code, symbols: Symbols = {}): Assembly {
  return new Assembler(symbols).run(code);
}

const isLabel = (item: Instruction | Label): item is Label => 'label' in item;

class Assembler {
  private readonly symbols: Symbols;
  private readonly placed: Placed[] = [];
  private readonly labels: { name: string; slot: number }[] = [];
  private readonly functions: AssembledFunction[] = [];
  /** Functions met so far, main excepted, in the order in which they are emitted. */
  private readonly pending: Block[] = [];
  private readonly functionSlots = new Map<string, number>();
  private slot = 0;

  constructor(symbols: Symbols) {
    this.symbols = symbols;
  }

  run(code: Code): Assembly {
    const main = this.symbols.name ?? 'main';
    this.place(main, code, undefined);
    // Functions may bring further functions: the list grows while it is walked.
    for (let i = 0; i < this.pending.length; i++) {
      const fn = this.pending[i]!;
      this.place(fn.note, fn.code, { block: fn, parent: undefined });
    }
    const bytes = new Uint8Array(this.slot * SLOT);
    const view = new DataView(bytes.buffer);
    for (const p of this.placed) this.encode(view, p);
    return new Assembly(bytes, this.functions, this.placed, this.labels);
  }

  private place(name: string, code: Code, path: Path | undefined): void {
    if (this.functionSlots.has(name)) throw bad(`two functions are called "${name}"`);
    this.functionSlots.set(name, this.slot);
    this.functions.push({ name, slot: this.slot });
    const labelsBefore = this.labels.length;
    this.walk(code, { labels: new Map(), parent: undefined }, path, 0);
    if (this.slot === this.functions.at(-1)!.slot) throw bad(`function "${name}" has no instruction`);
    const last = this.labels.slice(labelsBefore).find((l) => l.slot === this.slot);
    if (last !== undefined) throw bad(`label "${last.name}" stands behind the last instruction of "${name}"`);
  }

  private walk(code: Code, scope: Scope, path: Path | undefined, depth: number): void {
    if (depth > MAX_DEPTH) throw bad(`code is nested deeper than ${MAX_DEPTH} levels`);
    if (Array.isArray(code)) {
      for (const item of code as readonly Code[]) this.walk(item, scope, path, depth + 1);
      return;
    }
    const item = code as Exclude<Code, readonly Code[]>;
    if ('kind' in item) this.walkBlock(item, scope, path, depth);
    else if (isLabel(item)) this.placeLabel(item.label, scope, path);
    else {
      const functionIndex = this.functions.length - 1;
      this.placed.push({ instruction: item, slot: this.slot, scope, path, functionIndex });
      this.slot += slotsOf(item);
      if (this.slot > MAX_SLOTS) throw bad(`the program has more than ${MAX_SLOTS} instructions`);
    }
  }

  private walkBlock(item: Block, scope: Scope, path: Path | undefined, depth: number): void {
    if (item.kind === 'function') {
      if (!this.pending.includes(item)) this.pending.push(item);
      return;
    }
    const inner = item.kind === 'block' ? { labels: new Map<string, number>(), parent: scope } : scope;
    this.walk(item.code, inner, { block: item, parent: path }, depth + 1);
  }

  private placeLabel(name: string, scope: Scope, path: Path | undefined): void {
    if (scope.labels.has(name)) {
      const source = sourceText(blocksOf(path));
      throw bad(
        `label "${name}" stands twice in the same block${source === '' ? '' : ` (${source})`}`,
        'put the code that is repeated into a block() of its own',
      );
    }
    scope.labels.set(name, this.slot);
    this.labels.push({ name, slot: this.slot });
  }

  private encode(view: DataView, p: Placed): void {
    const { instruction: i } = p;
    let { opcode, offset, imm } = i;
    const { reference } = i;
    if (reference !== undefined) {
      const value = this.resolve(reference, p);
      if (reference.to !== 'label') imm = value;
      else if (opcode === OP_GOTOL) imm = value;
      else if (value >= -0x8000 && value <= 0x7fff) offset = value;
      else if (opcode === OP_JA) {
        opcode = OP_GOTOL;
        imm = value;
      } else
        throw this.at(
          p,
          `label "${reference.name}" is ${value} slots away; a conditional jump reaches 32,767`,
          'jump to a ja() near by, which reaches any label',
        );
    }
    const at = p.slot * SLOT;
    view.setUint8(at, opcode);
    view.setUint8(at + 1, (i.src << 4) | i.dst);
    view.setInt16(at + 2, offset, true);
    view.setInt32(at + 4, imm, true);
    if (i.high !== undefined) view.setInt32(at + SLOT + 4, i.high, true);
  }

  /** A label's or function's distance from the next slot, a map's descriptor, a kernel function's number. */
  private resolve(reference: Reference, p: Placed): number {
    switch (reference.to) {
      case 'label': {
        for (let scope: Scope | undefined = p.scope; scope !== undefined; scope = scope.parent) {
          const slot = scope.labels.get(reference.name);
          if (slot !== undefined) return slot - p.slot - 1;
        }
        throw this.at(p, `no label "${reference.name}" here; there are ${knownLabels(p.scope)}`);
      }
      case 'function': {
        const slot = this.functionSlots.get(reference.name);
        if (slot !== undefined) return slot - p.slot - 1;
        throw this.at(
          p,
          `no function "${reference.name}"; there are ${list(this.functionSlots.keys())}`,
          'put a func() of that name into the program',
        );
      }
      case 'map':
        return this.mapOf(reference.map, p);
      case 'kernel': {
        const id = this.symbols.kernelFunction?.(reference.name);
        if (id !== undefined) return id;
        throw this.at(p, `this kernel has no function "${reference.name}" for programs`);
      }
    }
  }

  private mapOf(map: MapReference, p: Placed): number {
    if (typeof map !== 'string') return map.fd;
    const { maps = {} } = this.symbols;
    if (Object.hasOwn(maps, map)) return maps[map]!.fd;
    throw this.at(p, `no map "${mapName(map)}"; there are ${list(Object.keys(maps))}`);
  }

  private at(p: Placed, problem: string, remedy = ''): WeftError {
    const where = new Assembly(new Uint8Array(this.slot * SLOT), this.functions, this.placed, this.labels);
    return bad(`${where.describe(p.slot)}: ${problem}`, remedy);
  }
}

const bad = (message: string, remedy = ''): WeftError => new WeftError('bad-program', message, { remedy });

function list(names: Iterable<string>): string {
  const all = [...names];
  if (all.length === 0) return 'none';
  return all.length <= 12 ? all.join(', ') : `${all.slice(0, 12).join(', ')} and ${all.length - 12} more`;
}

function knownLabels(scope: Scope): string {
  const names = new Set<string>();
  for (let s: Scope | undefined = scope; s !== undefined; s = s.parent)
    for (const name of s.labels.keys()) names.add(name);
  return list(names);
}
