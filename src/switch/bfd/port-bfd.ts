import { type Flow, W_NW_DST, W_TP, W_TUN_ID } from '../../flow/layout.ts';
import { BFD_PORT } from '../../wire/bfd.ts';
import type { LinkMonitor } from '../ofproto/port.ts';
import * as b from '../xlate/bits.ts';
import { udpPayload } from './frame.ts';
import type { BfdSession } from './session.ts';
import { type BfdSettings, DEFAULT_SRC_IP } from './settings.ts';

/** The session of one port, and which of the packets that come in by it are for the session. */
export class PortBfd implements LinkMonitor {
  readonly reason = 'bfd';
  readonly session: BfdSession;
  /** The column's settings, and as it was read. */
  settings: BfdSettings;
  column: ReadonlyMap<string, string>;

  constructor(session: BfdSession, settings: BfdSettings, column: ReadonlyMap<string, string>) {
    this.session = session;
    this.settings = settings;
    this.column = column;
  }

  get forwarding(): boolean {
    return this.session.forwarding;
  }

  takes(flow: Flow, wc: Flow): boolean {
    const { remoteDstMac, srcIp, checkTunnelKey } = this.settings;
    if (remoteDstMac !== null) {
      b.seeEthDst(wc);
      if (b.ethDst(flow) !== macNumber(remoteDstMac)) return false;
    }
    if (!b.isIpv4(flow)) return false;
    b.seeProto(wc);
    if (b.nwProto(flow) !== b.IPPROTO_UDP || b.isLaterFragment(flow)) return false;
    if (!sees(flow, wc, W_TP, BFD_PORT, 0xffff)) return false;
    // With an address of our own, other sessions may run through this port, from guest to guest.
    if (srcIp !== DEFAULT_SRC_IP && !sees(flow, wc, W_NW_DST, srcIp, 0xffffffff)) return false;
    if (!checkTunnelKey) return true;
    wc[W_TUN_ID] = 0xffffffff;
    wc[W_TUN_ID + 1] = 0xffffffff;
    return flow[W_TUN_ID] === 0 && flow[W_TUN_ID + 1] === 0;
  }

  receive(packet: Uint8Array, flow: Flow): void {
    const payload = udpPayload(packet);
    if (payload !== null) this.session.receive(payload, b.nwTtl(flow));
  }

  traffic(): void {
    this.session.traffic();
  }
}

/**
 * Whether `bits` of a word are those of `value`. If not, one bit that differs says so: packets that have
 * it may share a megaflow, whatever their other bits.
 */
function sees(flow: Flow, wc: Flow, word: number, value: number, bits: number): boolean {
  const difference = ((flow[word] ^ value) & bits) >>> 0;
  wc[word] |= difference === 0 ? bits : 0x80000000 >>> Math.clz32(difference);
  return difference === 0;
}

function macNumber(mac: Uint8Array): number {
  return mac.reduce((all, byte) => all * 256 + byte, 0);
}
