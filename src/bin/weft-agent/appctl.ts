/** Asks a daemon by its control socket, as `ovs-appctl` does: ours, or one of Open vSwitch. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Appctl } from '../../agent/requests/requests.ts';
import { WeftError } from '../../base/errors.ts';
import { connected } from '../connected.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';

/** The largest answer taken. */
const MAX_ANSWER = 1 << 24;
const ANSWER_MS = 5000;

export function appctlOf(program: string, runDir: string): Appctl {
  return async (command, args) => {
    const pidfile = join(runDir, `${program}.pid`);
    let pid: string;
    try {
      pid = readFileSync(pidfile, 'utf8').trim();
    } catch (cause) {
      throw new WeftError('no-daemon', `${pidfile}: cannot be read: ${reasonOf(cause)}`, {
        cause,
        remedy: `look whether ${program} runs, with --pidfile`,
      });
    }
    const path = join(runDir, `${program}.${pid}.ctl`);
    let text: string;
    try {
      text = await ask(path, JSON.stringify({ id: 0, method: command, params: args }));
    } catch (cause) {
      throw new WeftError('no-daemon', `${path}: ${reasonOf(cause)}`, {
        cause,
        remedy: `look whether ${program} runs`,
      });
    }
    const { result, error } = JSON.parse(text) as { result?: unknown; error?: unknown };
    if (typeof result === 'string') return result;
    throw new WeftError(
      'command-refused',
      typeof error === 'string' ? error.trim() : `${command}: no answer`,
    );
  };
}

/** Sends one request, and reads until its answer is whole. */
async function ask(path: string, request: string): Promise<string> {
  const socket = await connected(connect(path), 'connect');
  try {
    return await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('Connection timed out')), ANSWER_MS);
      let text = '';
      socket.setEncoding('utf8');
      socket.on('data', (part: string) => {
        text += part;
        if (text.length > MAX_ANSWER) reject(new Error('the answer is too long'));
        // One object comes, and its end may be anywhere.
        if (!text.trimEnd().endsWith('}')) return;
        try {
          JSON.parse(text);
        } catch {
          return;
        }
        clearTimeout(timer);
        resolve(text);
      });
      socket.on('close', () => {
        clearTimeout(timer);
        reject(new Error('Connection closed by the daemon'));
      });
      socket.write(request);
    });
  } finally {
    socket.destroy();
  }
}
