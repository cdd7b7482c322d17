import * as O from './action-ops.ts';
import { ACTION_SLOT_SIZE } from './layout.ts';

/** Why a list of actions cannot be a program. */
export class Refusal extends Error {}

export interface Operands {
  readonly flags?: number;
  readonly target?: number;
  readonly a?: number;
  readonly b?: number;
  readonly c?: number;
}

/** A place in the program that skips go to, known or not yet. */
export interface Target {
  at: number | undefined;
  readonly waiting: number[];
}

/** Writes units one behind the other, and the targets of skips once they are known. */
export class ProgramWriter {
  readonly #view = new DataView(new ArrayBuffer(ACTION_SLOT_SIZE));
  readonly #places: Target[] = [];
  #next = 0;
  #requires = 0;
  /** Unit of an output that more ports may be added to; -1: there is none. */
  #outputs = -1;

  op(code: number, operands: Operands = {}): void {
    // The first unit is kept free for what the program requires.
    if (this.#next === 0) this.#next = 1;
    if (this.#next > O.LAST_UNIT) throw new Refusal('more actions than a program has room for');
    this.#write(this.#next, code, operands);
    this.#next += O.unitsOf(code);
    this.#outputs = -1;
  }

  /** Copies of the packet go out of a port. */
  output(port: number): void {
    let at = this.#outputs * O.UNIT_SIZE;
    if (this.#outputs < 0 || this.#view.getUint8(at + O.O_FLAGS) === O.PORTS_AN_OUTPUT) {
      this.op(O.OP_OUTPUT);
      this.#outputs = this.#next - 1;
      at = this.#outputs * O.UNIT_SIZE;
    }
    const count = this.#view.getUint8(at + O.O_FLAGS);
    this.#view.setUint16(at + O.O_TARGET + 2 * count, port, true);
    this.#view.setUint8(at + O.O_FLAGS, count + 1);
  }

  #write(unit: number, code: number, operands: Operands): void {
    const at = unit * O.UNIT_SIZE;
    const view = this.#view;
    view.setUint8(at + O.O_CODE, code);
    view.setUint8(at + O.O_FLAGS, operands.flags ?? 0);
    view.setUint16(at + O.O_TARGET, operands.target ?? 0, true);
    view.setUint32(at + O.O_A, operands.a ?? 0, true);
    view.setUint32(at + O.O_B, operands.b ?? 0, true);
    view.setUint32(at + O.O_C, operands.c ?? 0, true);
  }

  setEth(values: readonly number[], masks: readonly number[]): void {
    this.op(O.OP_SET_ETH);
    const at = (this.#next - 2) * O.UNIT_SIZE + O.O_A;
    [...values, ...masks].forEach((word, i) => void this.#view.setUint32(at + 4 * i, word, true));
  }

  label(): Target {
    const target: Target = { at: undefined, waiting: [] };
    this.#places.push(target);
    return target;
  }

  /** An operation that may go on at `target`. */
  skip(code: number, target: Target, operands: Operands = {}): void {
    this.op(code, operands);
    target.waiting.push(this.#next - 1);
  }

  /** What is written next is what `target` names. */
  place(target: Target): void {
    target.at = Math.max(this.#next, 1);
    this.#outputs = -1;
  }

  /** The program shall only run on packets for which all of these REQUIRE_* hold. */
  require(flags: number): void {
    this.#requires |= flags;
  }

  finish(): Uint8Array {
    for (const { at, waiting } of this.#places) {
      if (at === undefined) continue;
      for (const unit of waiting) this.#view.setUint16(unit * O.UNIT_SIZE + O.O_TARGET, at, true);
    }
    if (this.#requires === 0) return this.#withoutFirst();
    this.#write(0, O.OP_REQUIRE, { flags: this.#requires });
    return new Uint8Array(this.#view.buffer, 0, Math.max(this.#next, 1) * O.UNIT_SIZE);
  }

  /** Nothing is required: the program begins a unit earlier. */
  #withoutFirst(): Uint8Array {
    for (const { at, waiting } of this.#places)
      if (at !== undefined)
        for (const unit of waiting) this.#view.setUint16(unit * O.UNIT_SIZE + O.O_TARGET, at - 1, true);
    return new Uint8Array(this.#view.buffer, O.UNIT_SIZE, Math.max(this.#next - 1, 0) * O.UNIT_SIZE);
  }
}
