import type { Action } from '../../openflow/actions/types.ts';
import { OfError } from '../../openflow/errors.ts';
import type { CodecOptions } from '../../openflow/message.ts';
import {
  type ActionGroup,
  decodeContinuation,
  encodeContinuation,
} from '../../openflow/messages/continuation.ts';
import type { OfVersion } from '../../openflow/version.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import type { FrozenState, StackValue } from '../xlate/frozen.ts';

/** What a controller gives back, unread, to have a paused packet go on. */
export function continuationOf(state: FrozenState, odpPort: number, version: OfVersion): Uint8Array {
  return encodeContinuation(
    {
      bridge: uuidBytes(state.ofproto.uuid),
      stack: state.stack.map(stackBytes),
      mirrors: state.mirrored,
      conntracked: state.conntracked,
      actions: actionGroups(state.actions),
      actionSet: state.actionSet,
      odpPort,
    },
    version,
  );
}

/**
 * The translation to go on with; its metadata are `metadata` (see `saveMetadata`).
 * @throws OfError where the bytes are not what this bridge gave.
 */
export function frozenOf(
  ofproto: Ofproto,
  bytes: Uint8Array,
  metadata: Uint32Array,
  version: OfVersion,
  options: CodecOptions,
): FrozenState {
  const c = decodeContinuation(bytes, version, options);
  const uuid = uuidBytes(ofproto.uuid);
  if (!c.bridge.every((byte, i) => byte === uuid[i])) {
    throw new OfError('NXR_STALE', 'the packet was paused by a bridge that is no more');
  }
  const actions = c.actions.flatMap(({ table, cookie, actions: some }): Action[] => [
    { type: 'unroll_xlate', table, cookie },
    ...some,
  ]);
  return {
    ofproto,
    table: 0,
    metadata,
    stack: c.stack.map(stackValue),
    conntracked: c.conntracked,
    wasMpls: false,
    mirrored: c.mirrors,
    // Without actions the packet would start anew at table 0: one that does nothing stands for none.
    actions: actions.length > 0 ? actions : [{ type: 'unroll_xlate', table: 0, cookie: 0n }],
    actionSet: c.actionSet,
    userdata: new Uint8Array(),
  };
}

/** Actions with the table and cookie that messages of theirs name, which `unroll_xlate` stands for here. */
function actionGroups(actions: readonly Action[]): ActionGroup[] {
  const groups: { table: number; cookie: bigint; actions: Action[] }[] = [];
  for (const action of actions) {
    if (action.type === 'unroll_xlate') {
      groups.push({ table: action.table, cookie: action.cookie, actions: [] });
      continue;
    }
    if (groups.length === 0) groups.push({ table: 0, cookie: 0n, actions: [] });
    groups.at(-1)?.actions.push(action);
  }
  return groups;
}

function uuidBytes(uuid: string): Uint8Array {
  const hex = uuid.replaceAll('-', '');
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

function stackBytes({ value, bits }: StackValue): Uint8Array {
  const n = Math.ceil(bits / 8);
  return Uint8Array.from({ length: n }, (_, i) => Number((value >> BigInt(8 * (n - 1 - i))) & 0xffn));
}

function stackValue(bytes: Uint8Array): StackValue {
  return { value: bytes.reduce((all, byte) => (all << 8n) | BigInt(byte), 0n), bits: 8 * bytes.length };
}
