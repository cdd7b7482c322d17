/** The latest changes, kept so that who watches can go on where it was, and who wrote what can be told. */
import { KINDS, type KindName, type Stored } from '../api-schema/kinds.ts';
import type { Model } from '../controller/model/model.ts';
import { type Principal, sees } from '../controller/model/principal.ts';
import type { ChangeEvent } from '../controller/network/change.ts';

/** One object's change, as watchers are told. */
export interface ToldChange {
  readonly op: 'created' | 'updated' | 'deleted';
  readonly kind: KindName;
  readonly id: string;
  readonly revision: number;
  /** What is there now; of a deleted object, what was. */
  readonly object: object;
}

/** Changed objects remembered; with them their events. */
const MAX_CHANGES = 50_000;

export class ChangeLog {
  readonly #events: ChangeEvent[] = [];
  #changes = 0;
  /** Of which all later revisions are known. */
  #since: number;
  readonly #listeners = new Set<(event: ChangeEvent) => void>();

  constructor(model: Model) {
    this.#since = model.revision;
    model.subscribe((event) => this.#add(event));
  }

  #add(event: ChangeEvent): void {
    this.#events.push(event);
    this.#changes += event.changes.length;
    while (this.#changes > MAX_CHANGES && this.#events.length > 1) {
      const oldest = this.#events.shift()!;
      this.#changes -= oldest.changes.length;
      this.#since = oldest.revision;
    }
    for (const listener of this.#listeners) listener(event);
  }

  /** The events after a revision; undefined if they are not all known any more. */
  after(revision: number): readonly ChangeEvent[] | undefined {
    if (revision < this.#since) return undefined;
    return this.#events.filter((event) => event.revision > revision);
  }

  /** Whether a revision is known to have changed something that the principal sees. */
  concerns(revision: number, principal: Principal): boolean {
    const event = this.#events.find((known) => known.revision === revision);
    return event !== undefined && visible(event, principal).length > 0;
  }

  /** Calls `listener` with every later event. Gives back what ends it. */
  follow(listener: (event: ChangeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

/** What of an event a principal may see, of the kinds that it asks for. */
export function visible(
  event: ChangeEvent,
  principal: Principal,
  kinds?: ReadonlySet<KindName>,
): ToldChange[] {
  const told: ToldChange[] = [];
  for (const { before, after } of event.changes) {
    const object = after ?? before!;
    if (!sees(principal, object.tenant) || kinds?.has(object.kind) === false) continue;
    const op = after === undefined ? 'deleted' : before === undefined ? 'created' : 'updated';
    told.push({ op, kind: object.kind, id: object.id, revision: event.revision, object: plain(object) });
  }
  return told;
}

/** An object without what changes by itself: how far it is realized is asked for, not told here. */
function plain({ kind, id, spec, tenant, created, revision }: Stored): object {
  const owned = KINDS[kind].owner.by === 'reference' ? { tenant } : {};
  return { id, kind, ...spec, ...owned, created, revision };
}
