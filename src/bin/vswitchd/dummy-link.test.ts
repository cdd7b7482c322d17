import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nullLogger } from '../../base/log.ts';
import type { DummyPort } from '../../datapath/ports/dummy.ts';
import { newFlow } from '../../flow/layout.ts';
import { ManualClock } from '../../ovsdb/testing/clock.ts';
import { TlsEndpoint } from '../tls/endpoint.ts';
import { NO_TLS } from '../tls/files.ts';
import { DummyLink } from './dummy-link.ts';
import { SocketStreams } from './streams.ts';

class Port implements DummyPort {
  readonly name = 'p';
  readonly port = 1;
  readonly received: Uint8Array[] = [];
  send: ((packet: Uint8Array) => void) | null = null;
  receive(packet: Uint8Array): void {
    this.received.push(packet);
  }
  onTransmit(hook: Parameters<DummyPort['onTransmit']>[0]): void {
    this.send = hook === null ? null : (packet) => hook(packet, newFlow());
  }
  setUp(): void {}
}

const clock = new ManualClock();

function link(dir: string): { port: Port; link: DummyLink } {
  const port = new Port();
  const streams = new SocketStreams(dir, new TlsEndpoint(() => NO_TLS, nullLogger.module('x')));
  const log = nullLogger.module('netdev_dummy');
  return { port, link: new DummyLink({ name: 'p', port: () => port, streams, clock, log }) };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(100);
  }
}

const frame = (n: number, length = 60): Uint8Array => new Uint8Array(length).fill(n);

test('two dummies joined by a socket hear each other, whoever comes first', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-link-'));
  const a = link(dir);
  const b = link(dir);
  try {
    // The active end comes first, and tries again.
    a.link.configure(new Map([['stream', 'unix:wire.sock']]));
    assert.equal(a.link.state, 'disconnected');
    b.link.configure(new Map([['pstream', 'punix:wire.sock']]));
    await until(() => a.link.state === 'connected');
    for (const [n, length] of [
      [1, 60],
      [2, 1500],
      [3, 14],
    ]) {
      a.port.send?.(frame(n, length));
    }
    await until(() => b.port.received.length === 3);
    assert.deepEqual(b.port.received, [frame(1), frame(2, 1500), frame(3, 14)]);
    b.port.send?.(frame(9));
    await until(() => a.port.received.length === 1);
    assert.deepEqual(a.port.received, [frame(9)]);
    b.link.close();
    await until(() => a.link.state === 'disconnected');
  } finally {
    a.link.close();
    b.link.close();
    rmSync(dir, { recursive: true, force: true });
  }
});

test('captures hold what came in and what went out', () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-link-'));
  const { port, link: wire } = link(dir);
  try {
    const both = join(dir, 'both.pcap');
    const sent = join(dir, 'sent.pcap');
    wire.configure(new Map([['pcap', both]]));
    wire.receive(frame(1));
    port.send?.(frame(2, 100));
    wire.configure(new Map([['tx_pcap', sent]]));
    wire.receive(frame(3));
    port.send?.(frame(4));
    wire.configure(new Map());
    assert.equal(port.send, null, 'nothing listens');
    const file = readFileSync(both);
    assert.equal(file.readUInt32LE(0), 0xa1b2c3d4);
    assert.equal(file.readUInt32LE(20), 1, 'Ethernet');
    assert.equal(file.length, 24 + 16 + 60 + 16 + 100);
    assert.equal(file.readUInt32LE(24 + 8), 60);
    assert.deepEqual(new Uint8Array(file.subarray(40, 100)), frame(1));
    assert.equal(readFileSync(sent).length, 24 + 16 + 60);
    assert.equal(port.received.length, 2);
  } finally {
    wire.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
