import { NX_VENDOR, OF10, OF11, OF15, type OfVersion } from '../version.ts';
import { type ActionCodec, constant, numberForm, putNumber } from './codec.ts';
import { parseU32 } from './text.ts';
import type { ActionOf } from './types.ts';
import type { ActionWriter } from './wire.ts';

const OFPAT11_SET_QUEUE = 21;
const NXAST_SET_QUEUE = 4;
const NXAST_POP_QUEUE = 5;
const make = (queue: number): ActionOf<'set_queue'> => ({ type: 'set_queue', queue });

export function encodeSetQueue(queue: number, out: ActionWriter, version: OfVersion): void {
  if (version === OF10) putNumber(out, NX_VENDOR, NXAST_SET_QUEUE, 4, queue);
  else putNumber(out, 0, OFPAT11_SET_QUEUE, 4, queue);
}

export function encodePopQueue(out: ActionWriter): void {
  putNumber(out, NX_VENDOR, NXAST_POP_QUEUE, 0, 0);
}

/** `set_queue:QUEUE`: the queue of outputs that follow. */
export const setQueue: ActionCodec<ActionOf<'set_queue'>> = {
  type: 'set_queue',
  name: 'set_queue',
  words: { set_queue: (arg) => make(parseU32(arg)) },
  format: ({ queue }) => `set_queue:${queue}`,
  encode: ({ queue }, out, { version }) => encodeSetQueue(queue, out, version),
  wire: [
    numberForm(NX_VENDOR, NXAST_SET_QUEUE, [OF10, OF10], 4, make),
    numberForm(0, OFPAT11_SET_QUEUE, [OF11, OF15], 4, make),
  ],
};

const POP_QUEUE: ActionOf<'pop_queue'> = { type: 'pop_queue' };

/** `pop_queue`: back to the packet's own queue. */
export const popQueue: ActionCodec<ActionOf<'pop_queue'>> = {
  type: 'pop_queue',
  name: 'pop_queue',
  words: { pop_queue: constant(POP_QUEUE) },
  format: () => 'pop_queue',
  encode: (_action, out) => encodePopQueue(out),
  wire: [numberForm(NX_VENDOR, NXAST_POP_QUEUE, [OF10, OF15], 0, () => POP_QUEUE)],
};
