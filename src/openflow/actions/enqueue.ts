import { OFPP_IN_PORT, OFPP_LOCAL, OFPP_MAX } from '../constants.ts';
import { OF10 } from '../version.ts';
import { type ActionCodec, standardForm } from './codec.ts';
import { encodePopQueue, encodeSetQueue } from './queue.ts';
import { formatPort, parsePort, parseU32, portFrom16, portTo16, syntaxError, Tokens } from './text.ts';
import type { ActionOf } from './types.ts';
import { refuse } from './wire.ts';

const OFPAT10_ENQUEUE = 11;
const OFPAT11_OUTPUT = 0;

function checkPort(port: number, maxPorts: number): void {
  if (portTo16(port) >= portTo16(maxPorts) && port !== OFPP_IN_PORT && port !== OFPP_LOCAL) {
    refuse('OFPBAC_BAD_OUT_PORT', `there is no port ${port} to enqueue packets on`);
  }
}

/** `enqueue:PORT:QUEUE`. OpenFlow 1.1 and later say it in three actions. */
export const enqueue: ActionCodec<ActionOf<'enqueue'>> = {
  type: 'enqueue',
  name: 'enqueue',
  words: {
    enqueue(arg, { ports }) {
      const tokens = new Tokens(arg);
      const portText = tokens.next(':q,');
      const queueText = tokens.rest();
      if (portText === null || queueText === null) {
        syntaxError('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"');
      }
      const port = parsePort(portText, ports);
      if (port === null) syntaxError(`${portText}: enqueue to unknown port`);
      return { type: 'enqueue', port, queue: parseU32(queueText) };
    },
  },
  format: ({ port, queue }, { ports }) => `enqueue:${formatPort(port, ports)}:${queue}`,
  encode({ port, queue }, out, { version }) {
    if (version === OF10) {
      const start = out.standard(OFPAT10_ENQUEUE);
      out.u16(portTo16(port));
      out.zeros(6);
      out.u32(queue);
      out.end(start);
      return;
    }
    encodeSetQueue(queue, out, version);
    const start = out.standard(OFPAT11_OUTPUT);
    out.u32(port);
    out.u16(0xffff);
    out.end(start, 16);
    encodePopQueue(out);
  },
  wire: [
    standardForm(OFPAT10_ENQUEUE, [OF10, OF10], 16, (b) => {
      const port = portFrom16(b.u16(4));
      checkPort(port, OFPP_MAX);
      return { type: 'enqueue', port, queue: b.u32(12) };
    }),
  ],
  check(action, { maxPorts }) {
    checkPort(action.port, maxPorts);
    return action;
  },
};
