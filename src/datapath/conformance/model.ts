import { type Flow, newFlow, W_DP_HASH, W_IN_PORT, W_RECIRC_ID, W_TCP_FLAGS } from '../../flow/layout.ts';
import { applyEdit, applySetToFlow, sendLength } from '../packet/edit.ts';
import { extractFlow } from '../packet/extract.ts';
import { datapathHash } from '../packet/hash.ts';
import { Packet } from '../packet/packet.ts';
import type { DpAction, UserspaceCookie } from '../types.ts';

/**
 * A datapath as one would write it who had all the time in the world: megaflows in a list, searched one
 * by one, a fresh copy of the packet for everything. What the real ones are held against.
 */
export class Model {
  readonly flows = new Map<number, ModelFlow>();
  readonly out = new Map<number, Uint8Array[]>();
  upcalls: ModelUpcall[] = [];
  hits = 0;
  missed = 0;
  readonly drops: Record<string, number> = {};

  receive(port: number, bytes: Uint8Array): void {
    const packet = Packet.copyOf(bytes);
    const key = newFlow();
    key[W_IN_PORT] = port;
    this.#forward(packet, key, 0);
  }

  execute(bytes: Uint8Array, flow: Flow, actions: readonly DpAction[]): void {
    const packet = Packet.copyOf(bytes);
    const key = flow.slice();
    extractFlow(packet, key);
    this.#run(packet, key, actions, 0);
  }

  /** Slots of all megaflows that cover a key. */
  covering(key: Flow): number[] {
    return [...this.flows]
      .filter(([, f]) => f.mask.every((m, w) => ((f.key[w] ^ key[w]) & m) === 0))
      .map(([id]) => id);
  }

  #forward(packet: Packet, key: Flow, depth: number): void {
    extractFlow(packet, key);
    const [id] = this.covering(key);
    if (id === undefined) {
      this.missed++;
      this.upcalls.push({ packet: packet.bytes().slice(), flow: key.slice(), userdata: null });
      return;
    }
    this.hits++;
    const flow = this.flows.get(id) as ModelFlow;
    flow.packets++;
    flow.bytes += packet.length;
    flow.tcpFlags |= key[W_TCP_FLAGS] >>> 16;
    this.#run(packet, key, flow.actions, depth);
  }

  #run(packet: Packet, key: Flow, actions: readonly DpAction[], depth: number): void {
    for (const action of actions) {
      switch (action.type) {
        case 'output': {
          const frames = this.out.get(action.port);
          if (frames === undefined) this.#drop('no-such-port');
          else frames.push(packet.bytes().slice(0, sendLength(packet)));
          packet.cutLength = 0;
          break;
        }
        case 'userspace':
          extractFlow(packet, key);
          this.upcalls.push({
            packet: packet.bytes().slice(0, sendLength(packet)),
            flow: key.slice(),
            userdata: action.cookie,
          });
          packet.cutLength = 0;
          break;
        case 'recirc': {
          if (depth >= 6) {
            this.#drop('recirculation-depth');
            break;
          }
          const copy = key.slice();
          copy[W_RECIRC_ID] = action.id;
          this.#forward(packet.clone(), copy, depth + 1);
          break;
        }
        case 'hash':
          extractFlow(packet, key);
          key[W_DP_HASH] = datapathHash(key, action.algorithm, action.basis);
          break;
        case 'sample':
          if (action.probability > 0) this.#run(packet.clone(), key.slice(), action.actions, depth);
          break;
        case 'clone':
          this.#run(packet.clone(), key.slice(), action.actions, depth);
          break;
        case 'check_pkt_len':
          this.#run(
            packet.clone(),
            key.slice(),
            packet.length > action.length ? action.greater : action.lessEqual,
            depth,
          );
          break;
        case 'drop':
          this.#drop('explicit');
          return;
        case 'set':
          if (!applyEdit(packet, action)) applySetToFlow(key, action.group, action.words);
          break;
        default:
          applyEdit(packet, action);
      }
    }
  }

  #drop(reason: string): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + 1;
  }
}

export interface ModelFlow {
  readonly key: Flow;
  readonly mask: Flow;
  actions: readonly DpAction[];
  packets: number;
  bytes: number;
  tcpFlags: number;
}

export interface ModelUpcall {
  readonly packet: Uint8Array;
  readonly flow: Flow;
  readonly userdata: UserspaceCookie | null;
}
