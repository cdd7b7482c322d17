/** What a route is: one row says how it is called, what it takes and gives, and does it. OpenAPI is made of the same rows. */
import type { ServerResponse } from 'node:http';
import type { TSchema } from 'typebox';
import type { Principal } from '../controller/model/principal.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface Call {
  /** Who asks; the operator's for routes that are open to all. */
  readonly principal: Principal;
  /** The token that was shown, to see later whether it is still good. */
  readonly token: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: unknown;
}

export interface Reply {
  readonly status: number;
  /** JSON, or text where `type` says so. */
  readonly body?: unknown;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of a body: takes over the connection. Must end the response. */
  readonly stream?: (response: ServerResponse) => void;
}

export interface Parameter {
  readonly name: string;
  readonly description: string;
  readonly schema: TSchema;
}

export interface Answer {
  readonly description: string;
  readonly schema?: TSchema;
  readonly type?: string;
}

export interface Route {
  readonly method: Method;
  /** As OpenAPI writes it: `/v1/acls/{id}`. */
  readonly path: string;
  /** The operationId. */
  readonly name: string;
  readonly summary: string;
  readonly tag: string;
  /** any: operator and tenants. */
  readonly access: 'public' | 'any' | 'operator';
  readonly query?: readonly Parameter[];
  /** Query parameters that are not in `query`: filters, whose names depend on the objects. */
  readonly filters?: boolean;
  readonly headers?: readonly Parameter[];
  readonly body?: {
    readonly schema: TSchema;
    readonly description: string;
    readonly patch?: boolean;
    readonly limit?: number;
  };
  readonly answers: Readonly<Record<number, Answer>>;
  readonly run: (call: Call) => Reply | Promise<Reply>;
}
