/**
 * Answers what the switch's flows hand to the agent (`answer(KIND)`): the packet is paused, the agent puts the answer in its
 * place, and resumes it, with all registers as they were. What gets no answer ends there.
 */
import type { Clock } from '../../base/clock.ts';
import { getField } from '../../flow/field-access.ts';
import { REG_FIELDS, XXREG_FIELDS } from '../../flow/fields.ts';
import { answerKind } from '../../logical/flow-words.ts';
import type { PacketIn } from '../../openflow/index.ts';
import type { Request } from '../switch/channel.ts';
import { answerTo } from './answer.ts';

/** Answers a second, for the whole host, and how many at once: errors are a courtesy (RFC 4443, 2.4 (f)). */
const RATE = 1000;
const BURST = 500;

/** Registers that a router's own addresses stand in, see `src/logical/flow-words.ts`. */
const ROUTER_IPV4 = REG_FIELDS[4];
const ROUTER_IPV6 = XXREG_FIELDS[1];

export class Responder {
  readonly #clock: Clock;
  readonly #send: (request: Request) => void;
  #tokens = BURST;
  #filled: number;
  #dropped = 0;

  constructor(clock: Clock, send: (request: Request) => void) {
    this.#clock = clock;
    this.#send = send;
    this.#filled = clock.now();
  }

  /** Questions that got no answer because there were too many. */
  get dropped(): number {
    return this.#dropped;
  }

  /** False: the packet does not ask for an answer of ours. */
  packetIn(packetIn: PacketIn): boolean {
    const kind = answerKind(packetIn.userdata);
    if (kind === undefined || packetIn.continuation.length === 0) return false;
    if (!this.#allowed()) {
      this.#dropped++;
      return true;
    }
    const { flow } = packetIn.metadata;
    const answer = answerTo(kind, packetIn.packet, {
      ipv4: bytesOf(getField(flow, ROUTER_IPV4), 4),
      ipv6: bytesOf(getField(flow, ROUTER_IPV6), 16),
    });
    if (answer === undefined) return true;
    const { kind: _, version: _v, xid: _x, variant: _n, ...fields } = packetIn;
    this.#send({ ...fields, kind: 'resume', packet: answer, totalLen: answer.length });
    return true;
  }

  #allowed(): boolean {
    const now = this.#clock.now();
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filled) * RATE) / 1000);
    this.#filled = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

function bytesOf(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let i = length - 1; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytes;
}
