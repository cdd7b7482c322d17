import assert from 'node:assert/strict';
import type { KindName } from '../../../api-schema/kinds.ts';
import { nullLogger } from '../../../base/log.ts';
import { FileStore } from '../../store/file-store.ts';
import { StillClock } from '../../store/testing/clock.ts';
import { MemoryFile } from '../../store/testing/memory-file.ts';
import { Model, type ModelOptions } from '../model.ts';
import type { ModelOperation } from '../operation.ts';
import { OPERATOR, type Principal } from '../principal.ts';
import { ModelError } from '../problem.ts';

/** Ids that count up: the same in every run. */
export function countingIds(from = 1): () => string {
  let next = from;
  return () => `00000000-0000-4000-8000-${String(next++).padStart(12, '0')}`;
}

/** A model in memory, with words for what tests do most. */
export async function makeModel(options: Partial<ModelOptions> = {}, file = new MemoryFile()) {
  const log = nullLogger.module('model');
  const store = FileStore.open(file, { log, clock: new StillClock() });
  const model = await Model.load({ store, newId: countingIds(), log, ...options });
  const create = async (kind: KindName, spec: object, principal: Principal = OPERATOR): Promise<string> => {
    const { objects } = await model.write([{ op: 'create', kind, spec }], principal);
    return objects[0]!.id;
  };
  return { model, store, file, create };
}

/** Holds a write to be refused with a code and a text; gives the error. */
export async function refused(promise: Promise<unknown>, code: string, text: RegExp): Promise<ModelError> {
  let thrown: unknown;
  await promise.catch((error) => {
    thrown = error;
  });
  assert.ok(thrown instanceof ModelError, `expected ${code}, not ${String(thrown)}`);
  assert.equal(thrown.code, code, thrown.message);
  assert.match(thrown.message, text);
  for (const problem of thrown.problems) assert.notEqual(problem.remedy, '');
  return thrown;
}

/** One transaction. */
export function write(model: Model, principal: Principal, ...operations: ModelOperation[]) {
  return model.write(operations, principal);
}

/** A tenant with two switches, a port and a router. */
export async function network() {
  const made = await makeModel();
  const { create } = made;
  const tenant = await create('tenant', { name: 'red' });
  const web = await create('logical-switch', { name: 'web', tenant });
  const db = await create('logical-switch', { name: 'db', tenant });
  const router = await create('logical-router', { name: 'r', tenant });
  const p1 = await create('logical-port', {
    name: 'p1',
    switch: web,
    vif: 'vif1',
    addresses: [{ mac: '02:00:00:00:00:01', ips: ['10.0.0.5'] }],
  });
  return { ...made, tenant, web, db, router, p1 };
}
