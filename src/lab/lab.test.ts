import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { netnsPath } from '../sys/netns.ts';
import { Guest } from './guest.ts';
import { Lab } from './lab.ts';
import { alive, identify, readRecords } from './record.ts';

const skip = process.getuid?.() !== 0 && 'needs root';

async function withLab(work: (lab: Lab, labs: string) => Promise<void>): Promise<void> {
  const labs = mkdtempSync(join(tmpdir(), 'weft-labs-'));
  const lab = new Lab(labs);
  try {
    await work(lab, labs);
  } finally {
    await lab.close();
    rmSync(labs, { recursive: true, force: true });
  }
}

test('two guests on a wire: pings, a stream, a watch; nothing is left', { skip }, async () => {
  await withLab(async (lab, labs) => {
    for (const name of ['a', 'b']) lab.namespace(name);
    lab.wire(
      { at: 'a', device: 'eth0', mac: '02:00:00:00:00:01', address: '10.1.0.1/24' },
      { at: 'b', device: 'eth0', mac: '02:00:00:00:00:02', address: '10.1.0.2/24' },
    );
    const [a, b] = await Promise.all([Guest.start(lab, 'a'), Guest.start(lab, 'b')]);
    await b.ask('watch', null);
    const [near, nobody] = await a.ask('ping', {
      targets: [
        { address: '10.1.0.2', expected: true },
        { address: '10.1.0.9', expected: false },
      ],
      minimumMs: 0,
      limitMs: 10_000,
    });
    assert.ok(near.received > 0 && near.rttMs! > 0);
    assert.deepEqual([nobody.received, nobody.rttMs], [0, undefined]);
    const counts = await b.ask('watched', null);
    assert.ok(counts['02:00:00:00:00:01'] > 0, JSON.stringify(counts));

    const refused = { address: '10.1.0.2', port: 5001, ms: 50, connectMs: 5000 };
    assert.match((await a.ask('stream', refused)).reason, /ECONNREFUSED/);
    await b.ask('listen', { port: 5001 });
    const stream = await a.ask('stream', refused);
    assert.ok(stream.connected && stream.bytes > 0, JSON.stringify(stream));
    await assert.rejects(b.ask('listen', { port: 5001 }), { code: 'guest-failed', message: /EADDRINUSE/ });

    const ids = [a, b].map((guest) => identify(guest.process.pid!)!);
    assert.deepEqual(readRecords(labs)[0].processes, ids);
    await lab.close();
    assert.ok(!ids.some(alive));
    assert.deepEqual(
      [netnsPath(lab.fullName('a')), netnsPath(lab.fullName('b')), lab.dir].filter((path) =>
        existsSync(path),
      ),
      [],
    );
    await assert.rejects(a.ask('watch', null), { code: 'guest-gone' });
    assert.throws(() => lab.namespace('c'), { code: 'lab-closed' });
  });
});

test('a trunk guest answers in each VLAN under its address there, and only there', { skip }, async () => {
  await withLab(async (lab) => {
    for (const name of ['a', 'b']) lab.namespace(name);
    lab.wire({ at: 'a', device: 'eth0' }, { at: 'b', device: 'eth0' });
    const tagged = (n: number) => ({
      tagged: {
        mac: `02:00:00:00:00:0${n}`,
        presences: [10, 20].map((vlan) => ({ vlan, address: `10.${vlan}.0.${n}` })),
      },
    });
    const [a] = await Promise.all([Guest.start(lab, 'a', tagged(1)), Guest.start(lab, 'b', tagged(2))]);
    const outcomes = await a.ask('ping', {
      targets: [
        { address: '10.10.0.2', vlan: 10, expected: true },
        { address: '10.20.0.2', vlan: 20, expected: true },
        { address: '10.20.0.2', vlan: 10, expected: false },
      ],
      minimumMs: 300,
      limitMs: 10_000,
    });
    assert.deepEqual(
      outcomes.map((o) => o.received > 0),
      [true, true, false],
    );
    const bad = {
      targets: [{ address: '10.10.0.2', vlan: 30, expected: true }],
      minimumMs: 0,
      limitMs: 1000,
    };
    await assert.rejects(a.ask('ping', bad), {
      code: 'guest-failed',
      message: /30: the trunk has no address/,
    });
  });
});
