import assert from 'node:assert/strict';
import { nullLogger } from '../../../base/log.ts';
import { createInProcessDatapath } from '../../../datapath/userspace/in-process.ts';
import { parseActions } from '../../../openflow/actions/index.ts';
import { decodeMessage, encodeMessage } from '../../../openflow/codec.ts';
import { OFPG_ANY, OFPP_ANY, PS_LIVE } from '../../../openflow/constants.ts';
import { OfError } from '../../../openflow/errors.ts';
import { Framer } from '../../../openflow/framer.ts';
import type { OfKind, OfMessage, OfMessageOf } from '../../../openflow/message.ts';
import type { Bucket } from '../../../openflow/messages/group.ts';
import { parseFlowLine } from '../../../openflow/text/flow.ts';
import type { OfVersion } from '../../../openflow/version.ts';
import { ManualClock } from '../../../ovsdb/testing/clock.ts';
import { Ofproto } from '../../ofproto/ofproto.ts';
import { OfPort } from '../../ofproto/port.ts';
import { SlowPath } from '../../upcall/slow-path.ts';
import { RecircIds } from '../../xlate/frozen.ts';
import { OpenFlowSwitch } from '../openflow-switch.ts';
import type { ControllerConfig, OpenFlowConfig } from '../types.ts';
import { type MemoryStream, MemoryStreams } from './memory-stream.ts';

const ALL_VERSIONS = 0x7e;
/** Body of a message, without what `TestController.send` adds. */
type Body<K extends OfKind> = Omit<OfMessageOf<K>, 'version' | 'xid'>;

/** One bridge with its OpenFlow side, in a process and time of its own. */
export class OpenFlowWorld {
  readonly clock = new ManualClock();
  readonly streams = new MemoryStreams();
  readonly datapath = createInProcessDatapath({ clock: this.clock, random: () => 0.25, log: nullLogger });
  readonly slowPath: SlowPath;
  readonly ofproto: Ofproto;
  readonly side: OpenFlowSwitch;

  constructor(config: Partial<OpenFlowConfig> = {}) {
    const { clock, datapath } = this;
    const recircIds = new RecircIds(clock);
    this.slowPath = new SlowPath({
      datapath,
      recircIds,
      clock,
      log: nullLogger,
      defer: (fn) => void setImmediate(fn),
      packetIn: (packetIn) => this.side.packetIn(packetIn),
    });
    this.ofproto = new Ofproto({
      name: 'br0',
      clock,
      log: nullLogger.module('xlate'),
      recircIds,
      onChange: (change) => this.slowPath.changed(change),
    });
    this.side = new OpenFlowSwitch({
      ofproto: this.ofproto,
      slowPath: this.slowPath,
      clock,
      log: nullLogger,
      streams: this.streams,
      runDir: '/run',
      setAdminUp: (port, up) => {
        port.adminUp = up;
      },
    });
    this.ofproto.attach(this.side);
    this.configure(config);
  }

  configure(config: Partial<OpenFlowConfig>): void {
    this.side.configure({
      controllers: [],
      failMode: 'secure',
      versions: ALL_VERSIONS,
      datapathId: 0x123n,
      maxIdleProbeMs: 5000,
      description: { mfr: '', hw: '', sw: '', serial: '', dp: '' },
      tables: new Map(),
      ...config,
    });
  }

  addPort(ofPort: number): OfPort {
    const name = `p${ofPort}`;
    const dpPort = this.datapath.portAdd({ name, type: 'dummy' });
    const mac = Uint8Array.of(2, 0, 0, 0, 0, ofPort);
    const port = new OfPort(this.ofproto, { ofPort, name, type: 'dummy', dpPort, mac, created: 0 });
    port.state = PS_LIVE;
    this.ofproto.addPort(port);
    this.slowPath.attachPort(dpPort, port);
    this.side.portAdded(port);
    return port;
  }

  sniff(port: OfPort): Uint8Array[] {
    const packets: Uint8Array[] = [];
    this.datapath.dummyPort(port.name).onTransmit((packet) => packets.push(packet.slice()));
    return packets;
  }

  /** A client of the management socket. */
  client(version: OfVersion): TestController {
    return new TestController(this.streams.dial('punix:/run/br0.mgmt'), version);
  }

  close(): void {
    this.side.close();
    this.slowPath.close();
  }
}

/** The other end of a connection, with our own codec. */
export class TestController {
  readonly stream: MemoryStream;
  readonly version: OfVersion;
  /** All that came since `take` was called last, but echoes and the hello. */
  readonly received: OfMessage[] = [];
  closed = false;
  readonly #framer = new Framer();
  #xid = 100;

  constructor(stream: MemoryStream, version: OfVersion) {
    this.stream = stream;
    this.version = version;
    stream.receive({
      onData: (bytes) => {
        for (const message of this.#framer.push(bytes)) this.#message(message);
      },
      onDrain() {},
      onClose: () => {
        this.closed = true;
      },
    });
    for (const bytes of encodeMessage({ kind: 'hello', version, xid: 1, versions: 1 << version }))
      stream.send(bytes);
  }

  #message(bytes: Uint8Array): void {
    const message = decodeMessage(bytes);
    if (message instanceof OfError) throw message;
    if (message.kind !== 'hello') this.received.push(message);
  }

  /** Sends a message; gives its xid. */
  send<K extends OfKind>(body: Body<K>, xid = this.#xid++): number {
    const message = { version: this.version, xid, ...body } as unknown as OfMessageOf<K>;
    for (const bytes of encodeMessage(message)) this.stream.send(bytes);
    return xid;
  }

  /** Bytes of a message, for a bundle. */
  encode<K extends OfKind>(body: Body<K>, xid: number): Uint8Array {
    return encodeMessage({ version: this.version, xid, ...body } as unknown as OfMessageOf<K>)[0];
  }

  /** What has come, taken away. */
  take(): OfMessage[] {
    return this.received.splice(0);
  }

  /** The one message that has come, of this kind. */
  one<K extends OfKind>(kind: K): OfMessageOf<K> {
    const all = this.take();
    assert.deepEqual(
      all.map((message) => message.kind),
      [kind],
    );
    return all[0] as OfMessageOf<K>;
  }

  /** Names of the errors that have come. */
  errors(): (string | null)[] {
    return this.take().map((message) => (message.kind === 'error' ? message.error : message.kind));
  }

  flow(line: string): Body<'flow_mod'> {
    return { ...parseFlowLine(line), kind: 'flow_mod' };
  }

  addFlow(line: string): void {
    this.send<'flow_mod'>(this.flow(line));
  }
}

/** A bucket with these actions. */
export function bucket(id: number, actions: string): Bucket {
  return { id, weight: 0, watchPort: OFPP_ANY, watchGroup: OFPG_ANY, actions: parseActions(actions) };
}

export function primary(target: string): ControllerConfig {
  return {
    uuid: target,
    target,
    maxBackoffMs: 8000,
    probeIntervalMs: 5000,
    band: 'out-of-band',
    enableAsync: true,
    rateLimit: 0,
    burstLimit: 0,
    maxQueued: 100,
    type: 'primary',
  };
}
