import type { KindName } from '../../api-schema/kinds.ts';

interface OnObject {
  readonly kind: KindName;
  readonly id: string;
  /** Refused (`object-changed`) unless the object was last changed in this revision; 0: unless there is none. */
  readonly ifRevision?: number;
}

/** One change of a transaction. What `spec` and `patch` hold is anybody's JSON. */
export type ModelOperation =
  | { readonly op: 'create'; readonly kind: KindName; readonly id?: string; readonly spec: unknown }
  /** Creates the object if it is not there. */
  | ({ readonly op: 'replace'; readonly spec: unknown } & OnObject)
  /** RFC 7396. */
  | ({ readonly op: 'patch'; readonly patch: unknown } & OnObject)
  /** `cascade`: with all that lives in it. */
  | ({ readonly op: 'delete'; readonly cascade?: boolean } & OnObject);
