/**
 * VLAN ports with real frames: for each mode of a port, which frames come out where, and with which tag. A row
 * says: a broadcast that enters at `from` with tag `tag` (0: none) comes out at exactly the ports of `out`.
 */
import assert from 'node:assert/strict';
import { NO_OFFLOAD, RxFrame } from '../../src/sys/frame.ts';
import { Links } from '../../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../../src/sys/netlink/socket.ts';
import { inNetns } from '../../src/sys/netns.ts';
import { PacketPort } from '../../src/sys/packet-port.ts';
import { buildPacket, get16, make, padFrame } from '../../src/wire/index.ts';
import { onEachDatapath, type SwitchHost, until } from './host.ts';

const ETHERTYPE = 0x88b5;
const PORTS: Readonly<Record<string, readonly string[]>> = {
  a10: ['tag=10'],
  b10: ['tag=10'],
  c20: ['tag=20'],
  plain: [],
  t10: ['trunks=10'],
  tagged: ['vlan_mode=native-tagged', 'tag=10', 'trunks=20'],
  untagged: ['vlan_mode=native-untagged', 'tag=10', 'trunks=20'],
};

interface Row {
  readonly from: string;
  readonly tag: number;
  /** Port to the tag with which the frame comes out of it; 0: none. */
  readonly out: Readonly<Record<string, number>>;
}

const V10 = { a10: 0, b10: 0, plain: 10, t10: 10, tagged: 10, untagged: 0 };
const V20 = { c20: 0, plain: 20, tagged: 20, untagged: 20 };
const without = (out: Readonly<Record<string, number>>, port: string): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(out).filter(([name]) => name !== port));

const ROWS: readonly Row[] = [
  { from: 'a10', tag: 0, out: without(V10, 'a10') },
  { from: 'c20', tag: 0, out: without(V20, 'c20') },
  // An access port takes no tag, its own VLAN's as little as another's.
  { from: 'a10', tag: 20, out: {} },
  { from: 'a10', tag: 10, out: {} },
  { from: 'plain', tag: 10, out: without(V10, 'plain') },
  { from: 'plain', tag: 20, out: without(V20, 'plain') },
  { from: 'plain', tag: 30, out: {} },
  // Without a tag a plain trunk port is in VLAN 0, as no other port here is.
  { from: 'plain', tag: 0, out: {} },
  { from: 't10', tag: 10, out: without(V10, 't10') },
  { from: 't10', tag: 20, out: {} },
  { from: 'tagged', tag: 0, out: without(V10, 'tagged') },
  { from: 'tagged', tag: 10, out: without(V10, 'tagged') },
  { from: 'tagged', tag: 20, out: without(V20, 'tagged') },
  { from: 'untagged', tag: 0, out: without(V10, 'untagged') },
  { from: 'untagged', tag: 20, out: without(V20, 'untagged') },
  { from: 'untagged', tag: 30, out: {} },
];

/** The far end of a switch port. */
class Tester {
  readonly #port: PacketPort;
  readonly #frame = new RxFrame();

  constructor(network: string, device: string) {
    this.#port = inNetns(network, () => {
      const netlink = new NetlinkSocket();
      try {
        const { ifindex } = new Links(netlink).get(device)!;
        return new PacketPort({ name: device, ifindex, rxSlots: 256, txSlots: 64 });
      } finally {
        netlink.close();
      }
    });
  }

  /** Sends a broadcast that carries `mark`. */
  send(source: string, tag: number, mark: number): void {
    const tags = tag === 0 ? [] : [make.vlan(tag)];
    const payload = Uint8Array.of(mark >> 8, mark & 0xff);
    const layers = [make.eth(source, 'ff:ff:ff:ff:ff:ff', tag === 0 ? ETHERTYPE : undefined), ...tags];
    const last = tags.length > 0 ? [layers[0], { ...tags[0], type: ETHERTYPE }] : layers;
    const frame = padFrame(buildPacket(last, payload), 64);
    this.#port.send(frame, 0, frame.length, NO_OFFLOAD);
    this.#port.flush();
  }

  /** The marks that arrived since, each with its tag. */
  receive(): [mark: number, tag: number][] {
    const found: [number, number][] = [];
    const frame = this.#frame;
    while (this.#port.receive(frame)) {
      const { bytes, start } = frame;
      const type = get16(bytes, start + 12);
      const tagged = type === 0x8100;
      const at = start + (tagged ? 16 : 12);
      if (get16(bytes, at) === ETHERTYPE)
        found.push([get16(bytes, at + 2), tagged ? get16(bytes, start + 14) & 0xfff : 0]);
      this.#port.release();
    }
    return found;
  }

  close(): void {
    this.#port.close();
  }
}

async function buildPorts(host: SwitchHost): Promise<void> {
  const { network } = host;
  const guest = network.namespace('guests');
  const commands = ['--', 'set', 'bridge', 'br0', `datapath_type=${host.datapathType}`];
  let n = 1;
  for (const [name, settings] of Object.entries(PORTS)) {
    network.veth(guest, `g-${name}`, host.ns, name, `02:00:00:00:01:0${n++}`);
    commands.push('--', 'add-port', 'br0', name, ...settings);
  }
  await host.vsctl('add-br', 'br0', ...commands);
}

onEachDatapath(
  'every mode of a VLAN port lets through what it should, tagged as it should',
  {},
  async (host) => {
    await buildPorts(host);
    const guest = host.ns.replace(/host$/, 'guests');
    const testers = new Map(Object.keys(PORTS).map((name) => [name, new Tester(guest, `g-${name}`)]));
    const seen = new Map<number, Record<string, number>>();
    const collect = (): void => {
      for (const [name, tester] of testers) {
        for (const [mark, tag] of tester.receive()) {
          const out = seen.get(mark) ?? {};
          assert.ok(!(name in out), `row ${mark}: came out of ${name} twice`);
          out[name] = tag;
          seen.set(mark, out);
        }
      }
    };
    try {
      for (const [mark, { from, tag }] of ROWS.entries()) {
        testers.get(from)!.send(`02:00:00:00:02:${mark.toString(16).padStart(2, '0')}`, tag, mark);
      }
      const complete = (): boolean => {
        collect();
        return ROWS.every(({ out }, mark) =>
          Object.keys(out).every((name) => name in (seen.get(mark) ?? {})),
        );
      };
      // Where a frame is missing, the comparison below says which.
      await until('all frames came out', complete).catch(() => {});
      // What must not come out would have come by now: the slow path is asked to be done, then we look again.
      await host.appctl('revalidator/wait');
      collect();
      for (const [mark, { from, tag, out }] of ROWS.entries()) {
        assert.deepEqual(
          Object.entries(seen.get(mark) ?? {}).sort(),
          Object.entries(out).sort(),
          `from ${from} with tag ${tag}`,
        );
      }
    } finally {
      for (const tester of testers.values()) tester.close();
    }
  },
);
