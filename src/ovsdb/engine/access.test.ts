import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { isJsonObject, type Json } from '../json.ts';
import { parseSchema } from '../schema/schema.ts';
import type { Principal } from './access.ts';
import { Database } from './database.ts';
import { execute } from './execute.ts';

const SCHEMA = parseSchema({
  name: 'colors',
  tables: {
    RBAC_Role: {
      isRoot: true,
      columns: {
        name: { type: 'string' },
        permissions: {
          type: {
            key: 'string',
            value: { type: 'uuid', refTable: 'RBAC_Permission', refType: 'weak' },
            min: 0,
            max: 'unlimited',
          },
        },
      },
    },
    RBAC_Permission: {
      isRoot: true,
      columns: {
        authorization: { type: { key: 'string', min: 0, max: 'unlimited' } },
        insert_delete: { type: 'boolean' },
        update: { type: { key: 'string', min: 0, max: 'unlimited' } },
      },
    },
    color: {
      isRoot: true,
      columns: {
        creator: { type: 'string' },
        ids: { type: { key: 'string', value: 'string', min: 0, max: 'unlimited' } },
        name: { type: 'string' },
        value: { type: 'integer' },
      },
    },
    fixed: { isRoot: true, columns: { name: { type: 'string' } } },
  },
});

function setUp(authorization: Json, insertDelete: boolean) {
  const db = new Database(SCHEMA, { newUuid: randomUUID });
  const run = (principal: Principal | undefined, ...operations: Json[]): Json | undefined => {
    const outcome = execute(db, ['colors', ...operations], {
      readOnly: false,
      ownsLock: () => false,
      elapsed: 0,
      principal,
    });
    if (outcome.kind === 'done') outcome.transaction.commit({ record: () => null });
    assert.ok(outcome.kind === 'done' || outcome.kind === 'failed');
    const error = outcome.results.find((r) => isJsonObject(r) && r.error !== undefined);
    return isJsonObject(error) ? error.details : undefined;
  };
  run(
    undefined,
    {
      op: 'insert',
      table: 'RBAC_Permission',
      'uuid-name': 'p',
      row: { authorization, insert_delete: insertDelete, update: ['set', ['value']] },
    },
    {
      op: 'insert',
      table: 'RBAC_Role',
      row: { name: 'painter', permissions: ['map', [['color', ['named-uuid', 'p']]]] },
    },
    { op: 'insert', table: 'color', row: { creator: 'ann', name: 'red', ids: ['map', [['owner', 'ann']]] } },
    { op: 'insert', table: 'color', row: { creator: 'bob', name: 'blue', ids: ['map', [['owner', 'bob']]] } },
  );
  return run;
}

const ann: Principal = { role: 'painter', id: 'ann' };
const update = (name: string, row: Json): Json => ({
  op: 'update',
  table: 'color',
  where: [['name', '==', name]],
  row,
});
const paint = (creator: string): Json => ({
  op: 'insert',
  table: 'color',
  row: { creator, name: 'new', ids: ['map', [['owner', creator]]] },
});
const mutateValue = (name: string): Json => ({
  op: 'mutate',
  table: 'color',
  where: [['name', '==', name]],
  mutations: [['value', '+=', 1]],
});
const remove = (where: Json): Json => ({ op: 'delete', table: 'color', where });
const PROHIBITED = 'RBAC rules for client "ann" role "painter" prohibit';

for (const authorization of ['creator', 'ids:owner']) {
  test(`a role writes its own rows only (authorization by ${authorization})`, () => {
    const run = setUp(authorization, true);
    assert.equal(run(ann, paint('ann')), undefined);
    assert.equal(run(ann, paint('bob')), `${PROHIBITED} row insertion into table "color".`);
    assert.equal(
      run(ann, { op: 'insert', table: 'fixed', row: {} }),
      `${PROHIBITED} row insertion into table "fixed".`,
    );
    assert.equal(run(ann, update('red', { value: 3 })), undefined);
    assert.equal(run(ann, update('red', { name: 'x' })), `${PROHIBITED} modification of table "color".`);
    assert.equal(run(ann, update('blue', { value: 3 })), `${PROHIBITED} modification of table "color".`);
    assert.equal(run(ann, mutateValue('red')), undefined);
    assert.equal(run(ann, mutateValue('blue')), `${PROHIBITED} mutate operation on table "color".`);
    assert.equal(run(ann, remove([])), `${PROHIBITED} row deletion from table "color".`);
    assert.equal(run(ann, remove([['name', '==', 'red']])), undefined);
    assert.equal(
      run({ role: 'painter', id: undefined }, paint('ann')),
      `${PROHIBITED.replace('ann', '')} row insertion into table "color".`,
    );
    assert.equal(
      run({ role: 'nobody', id: 'ann' }, paint('ann')),
      `${PROHIBITED.replace('painter', 'nobody')} row insertion into table "color".`,
    );
    assert.equal(run({ role: '', id: undefined }, paint('bob')), undefined);
  });
}

test('an empty authorization lets everybody, insert_delete withheld keeps rows', () => {
  const run = setUp('', false);
  assert.equal(run(ann, update('blue', { value: 3 })), undefined);
  assert.equal(run(ann, paint('ann')), `${PROHIBITED} row insertion into table "color".`);
  assert.equal(run(ann, remove([['name', '==', 'red']])), `${PROHIBITED} row deletion from table "color".`);
});
