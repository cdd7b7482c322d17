import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createNetns, netnsPath } from '../sys/netns.ts';
import { alive, cleanUp, identify, type LabRecord, parseRecord, readRecords, writeRecord } from './record.ts';

const root = process.getuid?.() === 0;
const randomId = (): string => `weft${Math.floor(Math.random() * 2 ** 32).toString(16)}`;

function withLabs(work: (labs: string) => void | Promise<void>) {
  return async (): Promise<void> => {
    const labs = mkdtempSync(join(tmpdir(), 'weft-labs-'));
    try {
      await work(labs);
    } finally {
      rmSync(labs, { recursive: true, force: true });
    }
  };
}

test('a process is known by number and start time together', async () => {
  const me = identify(process.pid)!;
  assert.ok(alive(me));
  assert.ok(!alive({ ...me, started: `${Number(me.started) + 1}` }));
  const child = spawn('sleep', ['60']);
  const id = identify(child.pid!)!;
  assert.ok(alive(id));
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(!alive(id));
  assert.equal(identify(child.pid!), undefined);
});

test('a record that names what no lab makes is none', () => {
  const owner = { pid: 4711, started: '1' };
  const good: LabRecord = { id: 'weft12ab', owner, namespaces: ['weft12ab-vm1'], processes: [owner] };
  const read = (record: unknown, id = 'weft12ab') => parseRecord(id, JSON.stringify(record));
  assert.deepEqual(read(good), good);
  for (const bad of [
    null,
    [],
    {},
    { ...good, id: 'weft99' },
    { ...good, namespaces: ['blue'] },
    { ...good, namespaces: ['weft12ab-../blue'] },
    { ...good, namespaces: 'weft12ab-vm1' },
    { ...good, processes: [{ pid: 1, started: '1' }] },
    { ...good, processes: [4711] },
    { ...good, owner: undefined },
  ]) {
    assert.equal(read(bad), undefined, JSON.stringify(bad));
  }
  assert.equal(parseRecord('weft12ab', '{"id": '), undefined);
  assert.equal(read({ ...good, id: 'blue' }, 'blue'), undefined);
});

test(
  'strange files among the labs are left alone',
  withLabs((labs) => {
    assert.deepEqual(readRecords(join(labs, 'nothing')), []);
    writeFileSync(join(labs, 'note'), 'x');
    mkdirSync(join(labs, 'weft12'));
    writeFileSync(join(labs, 'weft12', 'lab.json'), 'x');
    assert.deepEqual(cleanUp(labs), []);
    assert.ok(existsSync(join(labs, 'weft12', 'lab.json')));
  }),
);

test(
  'what a killed lab left is removed, what a running one has is not',
  { skip: !root && 'needs root' },
  withLabs(async (labs) => {
    const me = identify(process.pid)!;
    const [dead, living] = [randomId(), randomId()];
    const orphan = spawn('sleep', ['60']);
    const stranger = spawn('sleep', ['60']);
    try {
      const orphanId = identify(orphan.pid!)!;
      // The number of the stranger was another process's when the lab ran.
      const formerly = { pid: stranger.pid!, started: '1' };
      const gone = { pid: me.pid, started: '1' };
      writeRecord(
        {
          id: dead,
          owner: gone,
          namespaces: [`${dead}-a`, `${dead}-never`],
          processes: [orphanId, formerly],
        },
        labs,
      );
      writeRecord({ id: living, owner: me, namespaces: [`${living}-a`], processes: [] }, labs);
      createNetns(`${dead}-a`);
      createNetns(`${living}-a`);
      assert.deepEqual(cleanUp(labs), [dead]);
      assert.ok(!existsSync(netnsPath(`${dead}-a`)));
      assert.ok(existsSync(netnsPath(`${living}-a`)));
      assert.ok(!alive(orphanId));
      assert.notEqual(identify(stranger.pid!), undefined);
      assert.deepEqual(
        readRecords(labs).map((r) => r.id),
        [living],
      );
      writeRecord({ id: living, owner: gone, namespaces: [`${living}-a`], processes: [] }, labs);
      assert.deepEqual(cleanUp(labs), [living]);
      assert.ok(!existsSync(netnsPath(`${living}-a`)));
    } finally {
      orphan.kill('SIGKILL');
      stranger.kill('SIGKILL');
    }
  }),
);
