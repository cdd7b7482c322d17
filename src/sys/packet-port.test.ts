import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { GSO_TCPV4, NO_OFFLOAD, RxFrame } from './frame.ts';
import { fn } from './libc.ts';
import { inNewNetns } from './netns.ts';
import { PacketPort } from './packet-port.ts';
import { POLLIN, PollSet } from './poll.ts';
import { TapPort } from './tap.ts';

const skip = process.getuid?.() !== 0 && 'needs root';
const indexOf = fn<[string], number>('unsigned int if_nametoindex(const char *)');
const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });

/** Keeps the kernel's own chatter (IPv6 neighbour discovery) off the wires. */
function quiet(device: string): void {
  ip('link', 'set', device, 'addrgenmode', 'none');
  ip('link', 'set', device, 'up');
}

/** An IPv4 frame of `length` bytes whose payload counts up from `seed`; `tci` adds a VLAN tag. */
function frameOf(length: number, seed: number, tci?: number): Uint8Array {
  const bytes = new Uint8Array(length).map((_, i) => (i + seed) & 0xff);
  bytes.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
  let at = 12;
  if (tci !== undefined) {
    bytes.set([0x81, 0x00, tci >> 8, tci & 0xff], at);
    at += 4;
  }
  bytes.set(
    [
      0x08,
      0x00,
      0x45,
      0,
      (length - at - 2) >> 8,
      (length - at - 2) & 0xff,
      0,
      0,
      0x40,
      0,
      64,
      6,
      0,
      0,
      10,
      0,
      0,
      1,
      10,
      0,
      0,
      2,
    ],
    at,
  );
  return bytes;
}

/** Waits for a frame and returns a copy of it with its offload fields. */
function take(port: PacketPort | TapPort): RxFrame {
  const poll = new PollSet(1);
  poll.set(0, port.fd, POLLIN);
  const frame = new RxFrame();
  for (let tries = 0; tries < 50; tries++) {
    if (port.receive(frame)) {
      const copy = Object.assign(new RxFrame(), frame, { bytes: frame.bytes.slice(frame.start, frame.end) });
      port.release();
      poll.close();
      return copy;
    }
    poll.wait(100);
  }
  poll.close();
  return assert.fail('no frame came');
}

function withVeth(run: (a: PacketPort, b: PacketPort) => void, slots = 16): void {
  inNewNetns(() => {
    ip('link', 'add', 'weftA', 'type', 'veth', 'peer', 'name', 'weftB');
    quiet('weftA');
    quiet('weftB');
    const [a, b] = ['weftA', 'weftB'].map(
      (name) => new PacketPort({ name, ifindex: indexOf(name), rxSlots: slots, txSlots: slots }),
    );
    try {
      run(a, b);
    } finally {
      a.close();
      b.close();
    }
  });
}

test('frames cross a veth pair unchanged, in order, around the ring and more', { skip }, () => {
  withVeth((a, b) => {
    for (let i = 0; i < 50; i++) {
      const frame = frameOf(60 + i * 29, i);
      assert.ok(a.send(frame, 0, frame.length, NO_OFFLOAD));
      a.flush();
      assert.deepEqual(take(b).bytes, frame);
    }
    assert.deepEqual([a.txErrors, b.rxCut], [0, 0]);
    assert.equal(b.takeStatistics().dropped, 0);
  });
});

test('a full transmit ring takes no more until it is kicked', { skip }, () => {
  withVeth((a, b) => {
    const frame = frameOf(100, 7);
    let sent = 0;
    while (a.send(frame, 10, frame.length, NO_OFFLOAD)) sent++;
    assert.equal(sent, 16);
    a.flush();
    for (let i = 0; i < 16; i++) assert.deepEqual(take(b).bytes, frame.slice(10));
    assert.ok(a.send(frame, 0, frame.length, NO_OFFLOAD));
  });
});

test('the VLAN tag that the kernel takes off is put back, and moves the checksum along', { skip }, () => {
  withVeth((a, b) => {
    const frame = frameOf(80, 1, 0x6123);
    a.send(frame, 0, frame.length, { ...NO_OFFLOAD, csumStart: 38, csumOffset: 16 });
    a.flush();
    const got = take(b);
    assert.deepEqual(got.bytes, frame);
    assert.deepEqual([got.csumStart, got.csumOffset], [38, 16]);
    assert.ok(got.headroom >= 64);
  });
});

test('a segmentation-offload frame passes whole, with what is left to do on it', { skip }, () => {
  withVeth((a, b) => {
    const frame = frameOf(40_000, 3);
    frame[14 + 20 + 12] = 0x50;
    const offload = { csumStart: 34, csumOffset: 16, gsoType: GSO_TCPV4, gsoSize: 1448 };
    const small = frameOf(64, 9);
    a.send(small, 0, small.length, NO_OFFLOAD);
    assert.ok(a.send(frame, 0, frame.length, offload));
    assert.deepEqual(take(b).bytes, small);
    const got = take(b);
    assert.deepEqual(got.bytes, frame);
    assert.deepEqual(
      { csumStart: got.csumStart, csumOffset: got.csumOffset, gsoType: got.gsoType, gsoSize: got.gsoSize },
      offload,
    );
    assert.equal(a.largeSent, 1);
    // Hairpin: what came in large goes out of the same port.
    b.send(got.bytes, 0, got.bytes.length, got);
    assert.deepEqual(take(a).bytes, frame);
  });
});

test('a ring that overflows counts what it lost', { skip }, () => {
  withVeth((a, b) => {
    const frame = frameOf(64, 0);
    for (let i = 0; i < 40; i++) {
      a.send(frame, 0, frame.length, NO_OFFLOAD);
      a.flush();
    }
    const { received, dropped } = b.takeStatistics();
    assert.deepEqual([received, dropped], [40, 24]);
  });
});

test('errors say which device and which call', { skip }, () => {
  assert.throws(() => new PacketPort({ name: 'weft-none', ifindex: 0x7fff_0000 }), {
    code: 'system-call',
    errnoName: 'ENODEV',
    message: /weft-none/,
  });
  assert.throws(() => new PacketPort({ name: 'x', ifindex: 1, rxSlots: 3 }), { code: 'bad-ring' });
  assert.throws(() => new TapPort({ name: 'a-name-that-is-too-long' }), { code: 'bad-device-name' });
});

test('a tap device is a wire', { skip }, () => {
  inNewNetns(() => {
    const tap = new TapPort({ name: 'weftT' });
    try {
      quiet('weftT');
      const wire = new PacketPort({
        name: 'weftT',
        ifindex: indexOf('weftT'),
        rxSlots: 16,
        txSlots: 16,
        bypassQdisc: false,
      });
      try {
        const large = frameOf(30_000, 5);
        large[14 + 20 + 12] = 0x50;
        const offload = { csumStart: 34, csumOffset: 16, gsoType: GSO_TCPV4, gsoSize: 1000 };
        const small = frameOf(90, 4);
        assert.ok(tap.send(small, 0, small.length, NO_OFFLOAD));
        assert.deepEqual(take(wire).bytes, small);
        assert.ok(tap.send(large, 0, large.length, offload));
        assert.deepEqual(take(wire).bytes, large);
        wire.send(large, 0, large.length, offload);
        const got = take(tap);
        assert.deepEqual(got.bytes, large);
        assert.deepEqual([got.gsoType, got.gsoSize, got.csumStart], [GSO_TCPV4, 1000, 34]);
        assert.equal(tap.txErrors, 0);
      } finally {
        wire.close();
      }
    } finally {
      tap.close();
    }
  });
});
