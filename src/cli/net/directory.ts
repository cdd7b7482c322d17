/** Finds objects by what people call them: a name, a path of names ("red/web/vm1"), or a UUID. */
import { KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { nearest } from '../command.ts';
import type { ApiClient, Json } from './client.ts';

export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** Names that are looked through for one that is near. */
const MAX_NEAR = 2000;
/** Objects that an error names. */
const NAMED = 5;

export class Directory {
  readonly #client: ApiClient;
  readonly #known = new Map<string, Promise<Json | undefined>>();

  constructor(client: ApiClient) {
    this.#client = client;
  }

  /** The id of the object. `tenant`: only among the objects of this tenant (UUID). Throws `no-such-object`, `ambiguous-name`. */
  async find(kind: KindName, text: string, tenant?: string): Promise<string> {
    if (UUID.test(text)) return text.toLowerCase();
    const { title, owner, path, schema } = KINDS[kind];
    if (!('name' in schema.properties))
      throw new WeftError('no-such-object', `"${text}" is no UUID, and a ${title} has no name`, {
        remedy: `"weft net list ${kind}" shows the ids`,
      });
    const names = text.split('/');
    const name = names.pop()!;
    const scope = owner.by === 'operator' || owner.by === 'self' ? undefined : tenant;
    const found: Json[] = [];
    for await (const item of this.#client.list(collection(path), { name, tenant: scope })) {
      if (await this.#fits(kind, item, names)) found.push(item);
    }
    if (found.length === 1) return found[0].id as string;
    if (found.length === 0) throw await this.#missing(kind, text, name, scope);
    const paths = await Promise.all(found.slice(0, NAMED).map((item) => this.pathOf(kind, item)));
    throw new WeftError('ambiguous-name', `"${text}" is the name of ${found.length} ${KINDS[kind].plural}`, {
      remedy: `say which: ${paths.join(', ')}${found.length > NAMED ? ', ...' : ''}, or its id`,
    });
  }

  /** The object of an id; undefined if it is not there (any more). */
  get(kind: KindName, id: string): Promise<Json | undefined> {
    let known = this.#known.get(id);
    if (known === undefined) {
      known = this.#client
        .get(`${collection(KINDS[kind].path)}/${encodeURIComponent(id)}`)
        .catch((error: unknown) => {
          if (error instanceof WeftError && error.code === 'object-not-found') return undefined;
          throw error;
        });
      this.#known.set(id, known);
    }
    return known;
  }

  /** What is known of an object already, so that it need not be asked for. */
  remember(object: Json): void {
    this.#known.set(object.id as string, Promise.resolve(object));
  }

  /** "red/web/vm1" */
  async pathOf(kind: KindName, object: Json): Promise<string> {
    const own = typeof object.name === 'string' ? object.name : String(object.id);
    const parent = parentOf(kind, object);
    if (parent === undefined) return own;
    const above = await this.get(parent.kind, parent.id);
    return `${above === undefined ? parent.id : await this.pathOf(parent.kind, above)}/${own}`;
  }

  /** The name of what a reference leads to; the id where it has none. */
  async nameOf(kind: KindName, id: string): Promise<string> {
    const object = await this.get(kind, id);
    return typeof object?.name === 'string' ? object.name : id;
  }

  async #fits(kind: KindName, object: Json, names: readonly string[]): Promise<boolean> {
    if (names.length === 0) return true;
    const parent = parentOf(kind, object);
    if (parent === undefined) return false;
    const above = await this.get(parent.kind, parent.id);
    const wanted = names[names.length - 1];
    return (
      above !== undefined &&
      (above.name === wanted || above.id === wanted.toLowerCase()) &&
      (await this.#fits(parent.kind, above, names.slice(0, -1)))
    );
  }

  async #missing(kind: KindName, text: string, name: string, tenant: string | undefined): Promise<WeftError> {
    const { title, path } = KINDS[kind];
    const names: string[] = [];
    for await (const item of this.#client.list(collection(path), { fields: 'name', tenant }, MAX_NEAR))
      if (typeof item.name === 'string') names.push(item.name);
    const near = nearest(name, names);
    return new WeftError('no-such-object', `there is no ${title} "${text}"`, {
      remedy: near === undefined ? `"weft net list ${kind}" shows what there is` : `did you mean "${near}"?`,
    });
  }
}

function collection(path: string): string {
  return `/v1/${path}`;
}

/** The object that an object lives in. */
export function parentOf(
  kind: KindName,
  object: Json,
): { readonly kind: KindName; readonly id: string } | undefined {
  const references: Readonly<Record<string, KindName>> = KINDS[kind].references;
  for (const member of KINDS[kind].parents) {
    const id = object[member];
    if (typeof id === 'string') return { kind: references[member], id };
  }
  return undefined;
}
