import { WeftError } from '../../base/errors.ts';
import type { ConfigStore, StoreOperation } from './store.ts';

/** How often a commit is tried again because others keep writing. */
const ATTEMPTS = 100;

/**
 * Commits operations whose keys nobody else writes, whatever the revision is meanwhile: `operations` is asked anew for
 * the revision that they would get. Rejects as {@link ConfigStore.commit}.
 */
export async function commitLatest(
  store: ConfigStore,
  operations: (revision: number) => readonly StoreOperation[],
): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const expected = store.revision;
    try {
      return await store.commit(expected, operations(expected + 1));
    } catch (error) {
      if (attempt === ATTEMPTS || !(error instanceof WeftError) || error.code !== 'store-conflict')
        throw error;
    }
  }
}
