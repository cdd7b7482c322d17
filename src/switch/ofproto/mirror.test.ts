import assert from 'node:assert/strict';
import test from 'node:test';
import { MAX_MIRRORS, type MirrorSettings, Mirrors } from './mirror.ts';
import { Bundle } from './port.ts';

const [a, b, c] = ['a', 'b', 'c'].map((name) => new Bundle(name));

function settings(uuid: string, changes: Partial<MirrorSettings> = {}): MirrorSettings {
  return {
    uuid,
    name: uuid,
    sources: new Set([a]),
    destinations: new Set([b]),
    vlans: null,
    output: c,
    outputVlan: 0,
    snaplen: 0,
    ...changes,
  };
}

test('bundles know their mirrors, and mirrors those that go where they go', () => {
  const mirrors = new Mirrors();
  const bundles = [a, b, c];
  const elsewhere = settings('y', { output: null, outputVlan: 7, destinations: new Set([a, b]) });
  assert.ok(mirrors.configure([settings('x'), elsewhere, settings('z', { sources: new Set([b]) })], bundles));
  assert.deepEqual(
    bundles.map(({ mirrorsIn, mirrorsOut, isMirrorOutput }) => [mirrorsIn, mirrorsOut, isMirrorOutput]),
    [
      [0b011, 0b010, false],
      [0b100, 0b111, false],
      [0, 0, true],
    ],
  );
  assert.deepEqual(
    mirrors.list().map(({ alike }) => alike),
    [0b101, 0b010, 0b101],
  );
  mirrors.configure([], bundles);
  assert.ok(mirrors.isEmpty);
  assert.equal(a.mirrorsIn | b.mirrorsOut, 0);
  assert.equal(c.isMirrorOutput, false);
});

test('a mirror that stays keeps its place and counts; what is the same is no change', () => {
  const mirrors = new Mirrors();
  mirrors.configure([settings('x'), settings('y')], [a, b, c]);
  mirrors.get(1)?.credit(3, 200);
  assert.equal(mirrors.configure([settings('y'), settings('x')], [a, b, c]), false);
  assert.equal(mirrors.configure([settings('y', { snaplen: 100 })], [a, b, c]), true);
  assert.equal(mirrors.get(0), null);
  assert.equal(mirrors.get(1)?.packets, 3);
  assert.equal(mirrors.get(1)?.settings.snaplen, 100);
  mirrors.configure([settings('y'), settings('w')], [a, b, c]);
  assert.equal(mirrors.get(0)?.settings.uuid, 'w');
});

test('a VLAN is taken by its bit, and there are no more mirrors than bits', () => {
  const mirrors = new Mirrors();
  const vlans = new Uint8Array(512);
  vlans[1] = 0x04;
  const many = Array.from({ length: MAX_MIRRORS + 5 }, (_, i) => settings(`m${i}`, { vlans }));
  mirrors.configure(many, [a, b, c]);
  assert.equal(mirrors.list().length, MAX_MIRRORS);
  const [mirror] = mirrors.list();
  assert.deepEqual(
    [9, 10, 11, 4095].map((vid) => mirror.takesVlan(vid)),
    [false, true, false, false],
  );
  assert.equal(a.mirrorsIn, -1);
});
