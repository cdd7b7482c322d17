import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WeftError } from '../../base/errors.ts';
import type { Json } from '../../ovsdb/index.ts';
import { parseUpdate, RowStore } from './rows.ts';

const placement = { port: 5, datapath: 1, vif: 'v', node: 'h' };
const flow = { datapath: 1, stage: 'ls-in-acl', priority: 5, match: '', actions: 'next', origin: 'o' };

test('an update gives exactly what it changes, and a reset what differs', () => {
  const store = new RowStore();
  const update = (insert: Json, gone: Json = {}, reset = false) =>
    store.apply(parseUpdate({ revision: 1, reset, insert, delete: gone }));
  const first = update({ placement: [placement], flow: [flow, flow] });
  assert.deepEqual([first.insert.placement, first.insert.flow], [[placement], [flow]]);
  // The members' order and what is beside them makes no other row.
  const same = update({ placement: [{ node: 'h', vif: 'v', datapath: 1, port: 5, more: true }] });
  assert.deepEqual(same.insert.placement, []);
  const other = { ...placement, node: 'h2' };
  const moved = update({ placement: [other] }, { placement: [placement, { ...placement, port: 9 }] });
  assert.deepEqual([moved.insert.placement, moved.delete.placement], [[other], [placement]]);
  const reset = update({ placement: [other] }, {}, true);
  assert.deepEqual([reset.insert.placement, reset.delete.placement, reset.delete.flow], [[], [], [flow]]);
  assert.deepEqual(store.all(), { flow: [], placement: [other], tunnel: [], rate: [] });
});

const WRONG: readonly [Json, RegExp][] = [
  [null, /^update: is no object$/],
  [{ revision: -1, insert: {}, delete: {} }, /^update\.revision: is no integer/],
  [{ revision: 1, insert: [], delete: {} }, /^update\.insert: is no object$/],
  [{ revision: 1, insert: { flow: {} }, delete: {} }, /^update\.insert\.flow: is no list$/],
  [{ revision: 1, insert: {}, delete: { rate: [5] } }, /^update\.delete\.rate\[0\]: is no object$/],
  [
    { revision: 1, insert: { flow: [{ ...flow, stage: 'output' }] }, delete: {} },
    /^update\.insert\.flow\[0\]\.stage: "output" is no stage$/,
  ],
  [
    { revision: 1, insert: { placement: [{ ...placement, port: 2 ** 24 }] }, delete: {} },
    /placement\[0\]\.port: is no integer from 0 to 16777215$/,
  ],
  [
    { revision: 1, insert: { tunnel: [{ node: 'n', encapsulation: 'stt', address: 'a' }] }, delete: {} },
    /encapsulation: "stt" is none$/,
  ],
];
test('what is no update is refused, and where it is wrong is said', () => {
  for (const [json, message] of WRONG) {
    assert.throws(
      () => parseUpdate(json),
      (error) =>
        error instanceof WeftError && error.code === 'bad-controller-message' && message.test(error.message),
      JSON.stringify(json),
    );
  }
});

test('no JSON makes reading an update throw anything else', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      for (const json of [
        a,
        { revision: 1, insert: a, delete: b },
        { revision: 1, insert: { flow: a }, delete: {} },
      ]) {
        try {
          parseUpdate(json as Json);
        } catch (error) {
          assert.ok(error instanceof WeftError, String(error));
        }
      }
    }),
  );
});
