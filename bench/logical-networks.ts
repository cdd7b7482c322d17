/** Logical networks of any size for the benchmarks, as objects of the API; the same every run. */
import type { KindName, SpecOf, Stored } from '../src/api-schema/kinds.ts';
import type { ChangeEvent, Companion, ObjectChange, ObjectSource } from '../src/controller/network/change.ts';
import type { Random } from './classifier-workload.ts';

/** Objects without store and checks. */
export class MemoryModel implements ObjectSource {
  revision = 0;
  readonly #objects = new Map<string, Stored>();
  readonly #companion: Companion;
  #listener: ((event: ChangeEvent) => void) | undefined;
  #ids = 0;

  constructor(companion: Companion) {
    this.#companion = companion;
  }

  objects(): Iterable<Stored> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  subscribe(listener: (event: ChangeEvent) => void): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = undefined;
    };
  }

  make<K extends KindName>(kind: K, spec: SpecOf<K>): Stored<K> {
    const id = `00000000-0000-4000-8000-${(++this.#ids).toString(16).padStart(12, '0')}`;
    return { kind, id, spec, tenant: undefined, created: 0, revision: 0 };
  }

  /** One transaction. */
  write(changes: readonly ObjectChange[]): void {
    this.#companion.prepare(changes).settle(true);
    for (const { before, after } of changes) {
      if (after !== undefined) this.#objects.set(after.id, after);
      else if (before !== undefined) this.#objects.delete(before.id);
    }
    this.#listener?.({ revision: ++this.revision, changes });
  }

  add<K extends KindName>(kind: K, spec: SpecOf<K>): Stored<K> {
    const after = this.make(kind, spec);
    this.write([{ after }]);
    return after;
  }
}

/** Sizes of `count` switches from 2 to 64 that sum up to `ports`: many small ones, few large ones. */
export function switchSizes(count: number, ports: number, random: Random): number[] {
  const sizes = Array.from({ length: count }, () =>
    Math.min(64, Math.max(2, Math.round(-Math.log((random.below(1 << 24) + 1) / (1 << 24)) * 8))),
  );
  let sum = sizes.reduce((a, b) => a + b, 0);
  while (sum !== ports) {
    const i = random.below(count);
    const step = sum < ports ? 1 : -1;
    if (sizes[i] + step < 2 || sizes[i] + step > 64) continue;
    sizes[i] += step;
    sum += step;
  }
  return sizes;
}

export const macOf = (n: number): string =>
  `02:${[32, 24, 16, 8, 0]
    .map((s) => Math.floor(n / 2 ** s) % 256)
    .map((b) => b.toString(16).padStart(2, '0'))
    .join(':')}`;

/** The i-th address of a switch; every switch has the same ones. */
export const ipOf = (i: number): string => `10.0.${i >> 8}.${(i & 255) + 1}`;
