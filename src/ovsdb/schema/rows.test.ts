import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openVSwitchSchema } from './open_vswitch.ts';
import type { RowOf } from './rows.ts';

type Open = typeof openVSwitchSchema;

/** Compiles only if both types are the same. */
function same<A, B>(..._proof: [A] extends [B] ? ([B] extends [A] ? [] : [never]) : [never]): void {}

test('column types follow from the schema', () => {
  same<RowOf<Open, 'Bridge'>['name'], string>();
  same<RowOf<Open, 'Bridge'>['ports'], readonly string[]>();
  same<RowOf<Open, 'Bridge'>['fail_mode'], 'secure' | 'standalone' | null>();
  same<RowOf<Open, 'Bridge'>['other_config'], ReadonlyMap<string, string>>();
  same<RowOf<Open, 'Bridge'>['flow_tables'], ReadonlyMap<number, string>>();
  same<RowOf<Open, 'Interface'>['ofport'], number | null>();
  same<RowOf<Open, 'Interface'>['statistics'], ReadonlyMap<string, number>>();
  same<RowOf<Open, 'Port'>['trunks'], readonly number[]>();
  same<RowOf<Open, 'Port'>['interfaces'], readonly string[]>();
  same<RowOf<Open, 'Open_vSwitch'>['dpdk_initialized'], boolean>();
  same<RowOf<Open, 'Bridge'>['_uuid'], string>();
  assert.equal(Object.keys(openVSwitchSchema.tables).length, 19);
});

test('the schema is the stock one, fact for fact', () => {
  assert.equal(openVSwitchSchema.version, '8.3.1');
  assert.equal(openVSwitchSchema.cksum, '3012963480 26720');
  const columns = Object.values(openVSwitchSchema.tables).map((t) => Object.keys(t.columns).length);
  assert.equal(
    columns.reduce((a, b) => a + b),
    184,
  );
});
