/** Objects and their changes, without store and checks. */
import type { KindName, SpecOf, Stored } from '../../../api-schema/kinds.ts';
import type { ChangeEvent, Companion, ObjectChange, ObjectSource } from '../change.ts';

/** An id that names its number: the same every run. */
export function idOf(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
}

export class FakeModel implements ObjectSource {
  revision = 0;
  readonly #objects = new Map<string, Stored>();
  readonly #listeners = new Set<(event: ChangeEvent) => void>();
  readonly #companion: Companion | undefined;
  #ids = 0;

  constructor(companion?: Companion) {
    this.#companion = companion;
  }

  objects(): Iterable<Stored> {
    return this.#objects.values();
  }

  subscribe(listener: (event: ChangeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  get(id: string): Stored | undefined {
    return this.#objects.get(id);
  }

  newId(): string {
    return idOf(++this.#ids);
  }

  /** One transaction. Of what is deleted, everything that refers to it must be deleted too. */
  write(changes: readonly { id: string; kind: KindName; spec: object | undefined }[]): number {
    const revision = this.revision + 1;
    const made: ObjectChange[] = [];
    for (const { id, kind, spec } of changes) {
      const before = this.#objects.get(id);
      const after =
        spec === undefined
          ? undefined
          : {
              kind,
              id,
              spec: spec as SpecOf<KindName>,
              tenant: undefined,
              created: before?.created ?? revision,
              revision,
            };
      if (before === undefined && after === undefined) continue;
      made.push({
        ...(before === undefined ? {} : { before }),
        ...(after === undefined ? {} : { after }),
      });
    }
    this.#companion?.prepare(made).settle(true);
    for (const { before, after } of made) {
      if (after !== undefined) this.#objects.set(after.id, after);
      else this.#objects.delete(before!.id);
    }
    this.revision = revision;
    for (const listener of this.#listeners) listener({ revision, changes: made });
    return revision;
  }

  create<K extends KindName>(kind: K, spec: SpecOf<K>): string {
    const id = this.newId();
    this.write([{ id, kind, spec }]);
    return id;
  }

  update<K extends KindName>(kind: K, id: string, spec: SpecOf<K>): void {
    this.write([{ id, kind, spec }]);
  }

  delete(kind: KindName, ...ids: string[]): void {
    this.write(ids.map((id) => ({ id, kind: this.#objects.get(id)?.kind ?? kind, spec: undefined })));
  }
}
