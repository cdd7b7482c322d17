/** What a tunnel port leaves behind when it cannot be made. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Counters } from '../userspace/counters.ts';
import { TunnelPort } from './tunnel.ts';

/** kB of address space in use. */
const size = (): number =>
  Number(/^VmSize:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

test('a tunnel port whose UDP port is taken keeps no memory', async () => {
  const taken = createSocket('udp6').bind(0);
  await once(taken, 'listening');
  const options = new Map([['dst_port', String(taken.address().port)]]);
  const counters = new Counters(1);
  const attempt = (): void =>
    assert.throws(() => new TunnelPort(1, { name: 'weft0', type: 'vxlan', options }, counters));
  try {
    for (let i = 0; i < 10; i++) attempt();
    const before = size();
    for (let i = 0; i < 2000; i++) attempt();
    assert.ok(size() < before + 64 * 1024, `${before} kB before, ${size()} kB after`);
  } finally {
    taken.close();
  }
});
