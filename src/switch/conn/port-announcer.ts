import { encodeOne } from '../../openflow/codec.ts';
import { OFPPR_ADD, OFPPR_DELETE, OFPPR_MODIFY, PS_LIVE } from '../../openflow/constants.ts';
import type { OfMessage } from '../../openflow/message.ts';
import type { PortDesc } from '../../openflow/messages/port.ts';
import { OF15 } from '../../openflow/version.ts';
import type { OfPort } from '../ofproto/port.ts';
import type { Connection } from './connection.ts';
import { portDesc } from './messages/port-desc.ts';

type Broadcast = (reason: number, make: (connection: Connection) => OfMessage | null) => void;

/** Tells controllers of ports that come, change and go. */
export class PortAnnouncer {
  readonly #broadcast: Broadcast;
  /** Ports as controllers were told of them last. */
  readonly #described = new WeakMap<OfPort, PortDesc>();

  /** `broadcast`: sends a port status to every connection that wants one for this reason (OFPPR_*). */
  constructor(broadcast: Broadcast) {
    this.#broadcast = broadcast;
  }

  /** A port comes as one that carries nothing yet; that it does is news of its own. */
  added(port: OfPort): void {
    const desc = portDesc(port);
    this.#portStatus(port, { ...desc, state: desc.state & ~PS_LIVE }, OFPPR_ADD, null);
    if ((desc.state & PS_LIVE) !== 0) this.#portStatus(port, desc, OFPPR_MODIFY, null);
  }

  /** `source`: the connection that asked for the change. */
  modified(port: OfPort, source: Connection | null): void {
    this.#portStatus(port, portDesc(port), OFPPR_MODIFY, source);
  }

  /** Its device is about to be brought up or down. */
  configured(port: OfPort, config: number, source: Connection): void {
    const desc = portDesc(port);
    this.#portStatus(port, { ...desc, config, state: desc.state & ~PS_LIVE }, OFPPR_MODIFY, source);
  }

  removed(port: OfPort): void {
    this.#portStatus(port, portDesc(port), OFPPR_DELETE, null);
  }

  /**
   * Tells of a port. Who changed it by a port mod knows already, and only from OpenFlow 1.5 on expects to
   * be told; what a version can't express is no news to who speaks it.
   */
  #portStatus(port: OfPort, desc: PortDesc, reason: number, source: Connection | null): void {
    const before = this.#described.get(port);
    if (reason === OFPPR_DELETE) this.#described.delete(port);
    else this.#described.set(port, desc);
    this.#broadcast(reason, (connection) => {
      if (connection === source && connection.version < OF15) return null;
      const status = (of: PortDesc): OfMessage => ({
        kind: 'port_status',
        version: connection.version,
        xid: 0,
        reason,
        desc: of,
      });
      const message = status(desc);
      if (reason === OFPPR_MODIFY && before !== undefined) {
        const [old, now] = [encodeOne(status(before)), encodeOne(message)];
        if (old.length === now.length && old.every((byte, k) => byte === now[k])) return null;
      }
      return message;
    });
  }
}
