import type { Header } from '../header.ts';

/** Messages that a switch sends unasked. */
export const ASYNC_TYPES = [
  'packet_in',
  'port_status',
  'flow_removed',
  'role_status',
  'table_status',
  'requestforward',
] as const;
export type AsyncType = (typeof ASYNC_TYPES)[number];

/** For each, a bitmap of the reasons that are wanted, for a primary or equal controller and a secondary. */
export type AsyncConfig = Readonly<
  Record<AsyncType, { readonly primary: number; readonly secondary: number }>
>;

/** Types that a message leaves out stay as they are. */
export interface AsyncMessage extends Header {
  readonly kind: 'get_async_reply' | 'set_async_config';
  readonly config: Partial<AsyncConfig>;
}
