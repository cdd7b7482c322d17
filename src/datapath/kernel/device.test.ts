/** The lookup program at a device, where packets lie in memory as the kernel left them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { test } from 'node:test';
import { attachClassifier } from '../../ebpf/link.ts';
import { needsRoot } from '../../ebpf/testing/programs.ts';
import * as F from '../../flow/layout.ts';
import { GSO_TCPV4, VNET_HEADER_SIZE } from '../../sys/frame.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { inNewNetns } from '../../sys/netns.ts';
import { TapPort } from '../../sys/tap.ts';
import { frame, hex, maskOf } from '../conformance/frames.ts';
import { Random } from '../conformance/random.ts';
import { extractFlow } from '../packet/extract.ts';
import { Packet } from '../packet/packet.ts';
import * as L from './layout.ts';
import { maskWords } from './lookup-program.ts';
import { anyFrame } from './testing/any-frame.ts';
import { LAB_PORT, LAB_RING, LookupLab } from './testing/lookup-lab.ts';
import { UpcallReader } from './upcall-record.ts';

const skip = needsRoot;

/**
 * Sends a frame and says that its headers have 14 bytes: if it is longer than a page, the device puts these where programs
 * can read them, and all others elsewhere.
 */
function sendApart(tap: TapPort, bytes: Uint8Array): void {
  const message = new Uint8Array(VNET_HEADER_SIZE + bytes.length);
  message[2] = 14;
  message.set(bytes, VNET_HEADER_SIZE);
  writeSync(tap.fd, message);
}

/** A tap device whose frames enter the lab. */
function withTap(lab: LookupLab, work: (tap: TapPort) => void): void {
  inNewNetns(() => {
    const tap = new TapPort({ name: `weft${randomBytes(3).toString('hex')}` });
    const netlink = new NetlinkSocket();
    try {
      const links = new Links(netlink);
      const { ifindex } = links.get(tap.name)!;
      links.set(ifindex, { up: true });
      const attachment = attachClassifier(lab.entry, ifindex, 'ingress');
      work(tap);
      attachment.close();
    } finally {
      netlink.close();
      tap.close();
    }
  });
}

const WORDS = Array.from({ length: F.FLOW_BASE_WORDS - F.W_ETH }, (_, i) => F.W_ETH + i).filter(
  (w) => w < F.W_NSH || w >= F.W_TP,
);

test('headers that programs cannot read where they lie are pulled together', { skip }, () => {
  const seed = 1 + (Date.now() % 1_000_000);
  const random = new Random(seed);
  using lab = new LookupLab();
  lab.setMasks([maskWords(maskOf(F.W_IN_PORT, ...WORDS))]);
  withTap(lab, (tap) => {
    let hits = 0;
    let unparsed = 0;
    for (let i = 0; i < 5000; i++) {
      const { bytes: start } = anyFrame(random);
      const bytes = new Uint8Array(start.length + 4200);
      bytes.set(start);
      const packet = new Packet(bytes);
      const flow = F.newFlow();
      flow[F.W_IN_PORT] = LAB_PORT;
      extractFlow(packet, flow);
      lab.put(0, flow, 1, L.ENTRY_DROP);
      sendApart(tap, bytes);
      lab.tables[0]!.map.delete(lab.key(0, flow));
      const hit = lab.total(L.T_HITS) - hits;
      const left = lab.total(L.T_UNPARSED) - unparsed;
      hits += hit;
      unparsed += left;
      assert.equal(hit + left, 1, `seed ${seed}: frame ${hex(start)} and 4200 zeros`);
    }
    // Zeros are taken for MPLS entries without an end, and for extension headers.
    assert.ok(hits > 3500, `seed ${seed}: ${hits} hits, ${unparsed} left to JavaScript`);
  });
});

test('a packet of 64 kB that is yet to be segmented comes up whole', { skip }, () => {
  using lab = new LookupLab({ ringBytes: 1 << 20 });
  const reader = new UpcallReader(lab.maps);
  lab.setMasks([maskWords(maskOf(F.W_ETH_TYPE, F.W_NW_DST, F.W_TP))]);
  withTap(lab, (tap) => {
    for (const tags of [[], [[0x8100, 5] as const]]) {
      const bytes = frame({ tcpFlags: 0x10, payload: 65000, tags });
      const csumStart = 34 + 4 * tags.length;
      tap.send(bytes, 0, bytes.length, { csumStart, csumOffset: 16, gsoType: GSO_TCPV4, gsoSize: 1448 });
      let seen = 0;
      lab.maps.rings[LAB_RING]!.drain((memory, start, length) => {
        const record = reader.read(memory, start, length);
        seen++;
        assert.ok(
          Buffer.compare(record.packet, bytes) === 0,
          `${record.packet.length} of ${bytes.length} bytes`,
        );
        assert.equal(record.gsoSize, 1448);
      }, 10);
      assert.equal(seen, 1);
    }
    assert.deepEqual([lab.total(L.T_MISSED), lab.total(L.T_LOST)], [2, 0]);
  });
  reader.close();
});
