import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import type { Clock, Timer } from '../../base/clock.ts';
import type { ModuleLog } from '../../base/log.ts';
import type { DummyPort } from '../../datapath/ports/dummy.ts';
import type { Flow } from '../../flow/layout.ts';
import type { ByteStream, Listener, StreamProvider } from '../../switch/conn/stream.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';

export interface DummyLinkOptions {
  readonly name: string;
  readonly port: () => DummyPort | null;
  readonly streams: StreamProvider;
  readonly clock: Clock;
  readonly log: ModuleLog;
}

const RECONNECT_MS = 1000;
/** Longest frame that two bytes of length can tell. */
const MAX_FRAME = 0xffff;

/**
 * What a dummy device is wired to, by its options: packet captures (`pcap`, `rxq_pcap`, `tx_pcap`) and
 * a byte stream to another dummy device (`stream`, `pstream`), on which each frame follows two bytes
 * of its length.
 */
export class DummyLink {
  readonly #options: DummyLinkOptions;
  #configured = '';
  #rxCapture: number | null = null;
  #txCapture: number | null = null;
  #active: string | null = null;
  #listener: Listener | null = null;
  readonly #connections = new Set<ByteStream>();
  #timer: Timer | null = null;
  /** Of the active stream, as `netdev-dummy/conn-state` tells. */
  state: 'unknown' | 'connected' | 'disconnected' = 'unknown';
  #epoch = 0;

  constructor(options: DummyLinkOptions) {
    this.#options = options;
  }

  /** Takes over what the options say now. */
  configure(options: ReadonlyMap<string, string>): void {
    const wanted = JSON.stringify(KEYS.map((key) => options.get(key) ?? null));
    if (wanted === this.#configured) return;
    this.close();
    this.#configured = wanted;
    const both = options.get('pcap');
    this.#rxCapture = this.#openCapture(both ?? options.get('rxq_pcap'));
    this.#txCapture = both !== undefined ? this.#rxCapture : this.#openCapture(options.get('tx_pcap'));
    const passive = options.get('pstream');
    this.#active = options.get('stream') ?? null;
    if (passive !== undefined) this.#listen(passive);
    else if (this.#active !== null) {
      this.state = 'disconnected';
      this.#connect(this.#active);
    }
    const port = this.#options.port();
    const silent = this.#txCapture === null && passive === undefined && this.#active === null;
    port?.onTransmit(silent ? null : (packet) => this.#transmit(packet));
  }

  /** A frame arrives at the device. */
  receive(packet: Uint8Array, metadata?: Flow): void {
    this.#capture(this.#rxCapture, packet);
    this.#options.port()?.receive(packet, metadata);
  }

  close(): void {
    this.#epoch++;
    this.#timer?.cancel();
    this.#timer = null;
    this.#listener?.close();
    this.#listener = null;
    for (const stream of this.#connections) stream.close();
    this.#connections.clear();
    if (this.#rxCapture !== null) closeSync(this.#rxCapture);
    if (this.#txCapture !== null && this.#txCapture !== this.#rxCapture) closeSync(this.#txCapture);
    this.#rxCapture = null;
    this.#txCapture = null;
    this.#active = null;
    this.#configured = '';
    this.state = 'unknown';
  }

  // --- Streams --------------------------------------------------------------------------------------

  #listen(target: string): void {
    const epoch = this.#epoch;
    this.#options.streams
      .listen(target, (stream) => (epoch === this.#epoch ? this.#attach(stream) : stream.close()))
      .then((listener) => {
        if (epoch === this.#epoch) this.#listener = listener;
        else listener.close();
      })
      .catch((error: unknown) =>
        this.#options.log.warn(`${this.#options.name}: could not listen on ${target}: ${reasonOf(error)}`),
      );
  }

  #connect(target: string): void {
    const epoch = this.#epoch;
    this.#options.streams
      .connect(target)
      .then((stream) => {
        if (epoch !== this.#epoch) {
          stream.close();
          return;
        }
        this.state = 'connected';
        this.#attach(stream);
      })
      .catch(() => {
        if (epoch === this.#epoch) this.#retry(target);
      });
  }

  #retry(target: string): void {
    this.state = 'disconnected';
    this.#timer = this.#options.clock.after(RECONNECT_MS, () => this.#connect(target));
  }

  #attach(stream: ByteStream): void {
    const epoch = this.#epoch;
    let pending = new Uint8Array();
    this.#connections.add(stream);
    stream.receive({
      onData: (bytes) => {
        pending = concat(pending, bytes);
        let at = 0;
        while (pending.length - at >= 2) {
          const length = (pending[at] << 8) | pending[at + 1];
          if (pending.length - at - 2 < length) break;
          if (length >= 14) this.receive(pending.slice(at + 2, at + 2 + length));
          at += 2 + length;
        }
        pending = pending.slice(at);
      },
      onDrain: () => {},
      onClose: () => {
        this.#connections.delete(stream);
        if (epoch === this.#epoch && this.#active !== null) this.#retry(this.#active);
      },
    });
  }

  #transmit(packet: Uint8Array): void {
    this.#capture(this.#txCapture, packet);
    if (this.#connections.size === 0 || packet.length > MAX_FRAME) return;
    const framed = new Uint8Array(packet.length + 2);
    framed[0] = packet.length >> 8;
    framed[1] = packet.length & 0xff;
    framed.set(packet, 2);
    for (const stream of this.#connections) if (stream.backlog < 1 << 20) stream.send(framed);
  }

  // --- Captures -------------------------------------------------------------------------------------

  #openCapture(path: string | undefined): number | null {
    if (path === undefined) return null;
    try {
      const fd = openSync(path, 'a');
      if (fstatSync(fd).size === 0) writeSync(fd, fileHeader());
      return fd;
    } catch (error) {
      this.#options.log.warn(`${path}: failed to open pcap file for writing (${reasonOf(error)})`);
      return null;
    }
  }

  /** A record of the pcap format: time, bytes kept, bytes seen. */
  #capture(fd: number | null, packet: Uint8Array): void {
    if (fd === null) return;
    const record = new Uint8Array(16 + packet.length);
    const view = new DataView(record.buffer);
    const now = this.#options.clock.wall();
    view.setUint32(0, Math.floor(now / 1000), true);
    view.setUint32(4, Math.floor((now % 1000) * 1000), true);
    view.setUint32(8, packet.length, true);
    view.setUint32(12, packet.length, true);
    record.set(packet, 16);
    writeSync(fd, record);
  }
}

const KEYS = ['pcap', 'rxq_pcap', 'tx_pcap', 'stream', 'pstream'];

/** Version 2.4, microseconds, Ethernet. */
function fileHeader(): Uint8Array {
  const header = new Uint8Array(24);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 0x40000, true);
  view.setUint32(20, 1, true);
  return header;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
