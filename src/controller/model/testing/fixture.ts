import type { KindName } from '../../../api-schema/kinds.ts';
import { nullLogger } from '../../../base/log.ts';
import { FileStore } from '../../store/file-store.ts';
import { StillClock } from '../../store/testing/clock.ts';
import { MemoryFile } from '../../store/testing/memory-file.ts';
import { Model, type ModelOptions } from '../model.ts';
import { OPERATOR, type Principal } from '../principal.ts';

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
