import { getNumber, isFieldWild } from '../../flow/field-access.ts';
import { F } from '../../flow/fields.ts';
import { PT_ETH } from '../../flow/layout.ts';
import { Match } from '../../flow/match.ts';
import { readActions, writeActions } from '../action-lists.ts';
import type { Action } from '../actions/types.ts';
import { NO_BUFFER, OFPP_CONTROLLER, OFPP_LOCAL, OFPP_MAX, OFPP_NONE } from '../constants.ts';
import { type Codec, codec, head, reject } from '../family.ts';
import type { Header } from '../header.ts';
import { readMatch, writeOxmMatch } from '../match-codec.ts';
import { portFromWire16, portFromWire32, portToWire16 } from '../ports.ts';
import { OF10, OF15 } from '../version.ts';

export interface PacketOut extends Header {
  readonly kind: 'packet_out';
  /** Empty where `bufferId` names a packet. */
  readonly packet: Uint8Array;
  /** NO_BUFFER: none. */
  readonly bufferId: number;
  /** The input port (always given) and, from OpenFlow 1.5 on, other pipeline fields. */
  readonly metadata: Match;
  readonly actions: readonly Action[];
}

function checkInPort(port: number): void {
  if (port < OFPP_MAX || port === OFPP_LOCAL || port === OFPP_NONE || port === OFPP_CONTROLLER) return;
  reject('OFPBRC_BAD_PORT', `packet-out: no packet comes in at port 0x${port.toString(16)}`);
}

const packetOut = codec(
  ['packet_out'],
  (r, c) => {
    const bufferId = r.u32();
    let metadata: Match;
    let actionsLength: number;
    if (c.version >= OF15) {
      actionsLength = r.u16();
      r.skip(2);
      metadata = readMatch(r, { ...c.options, loose: true, pipelineOnly: true }, true);
      if (isFieldWild(metadata.mask, F.inPortOxm)) reject('OFPBRC_BAD_PORT', 'packet-out lacks its in_port');
    } else {
      const inPort = c.version === OF10 ? portFromWire16(r.u16()) : portFromWire32(r.u32());
      actionsLength = r.u16();
      if (c.version !== OF10) r.skip(6);
      metadata = new Match().setNumber(F.packetType, PT_ETH).setNumber(F.inPortOxm, inPort);
    }
    const actions = readActions(r, actionsLength, c);
    checkInPort(getNumber(metadata.flow, F.inPortOxm));
    const packet = bufferId === NO_BUFFER ? r.rest() : new Uint8Array(0);
    return { ...head(c, 'packet_out'), packet, bufferId, metadata, actions };
  },
  (m, { w, version }) => {
    const inPort = getNumber(m.metadata.flow, F.inPortOxm);
    w.u32(m.bufferId);
    if (version === OF10) w.u16(portToWire16(inPort));
    else if (version < OF15) w.u32(inPort);
    const lengthAt = w.length;
    w.zeros(version === OF10 ? 2 : version < OF15 ? 8 : 4);
    if (version >= OF15) writeOxmMatch(w, m.metadata, version);
    w.setU16(lengthAt, writeActions(w, m.actions, version));
    if (m.bufferId === NO_BUFFER) w.put(m.packet);
  },
);

export const packetOutCodecs: readonly Codec[] = [packetOut];
