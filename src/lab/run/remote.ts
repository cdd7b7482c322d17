/**
 * How other processes have a running lab do something: a unix socket in the lab's directory. A request is one line of JSON,
 * the answer any number of lines `{"text": ...}` and a last one, `{"exit": N}` or `{"error": ..., "remedy": ...}`.
 */
import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import type { LabRun, Report } from './lab-run.ts';

export const LAB_SOCKET = 'lab.sock';
const MAX_REQUEST = 4096;

export type LabRequest =
  | { readonly command: 'test' }
  | { readonly command: 'move'; readonly machine: string; readonly to: string };

type Answer =
  | { readonly text: string }
  | { readonly exit: number }
  | { readonly error: string; readonly code: string; readonly remedy: string };

function parseRequest(line: string): LabRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = undefined;
  }
  const { command, machine, to } = (value ?? {}) as Partial<Record<string, unknown>>;
  if (command === 'test') return { command };
  if (command === 'move' && typeof machine === 'string' && typeof to === 'string')
    return { command, machine, to };
  throw new WeftError('bad-request', `"${line.slice(0, 100)}" is no request to a lab`);
}

async function perform(run: LabRun, line: string, report: Report): Promise<Answer> {
  try {
    const request = parseRequest(line);
    const ok = await run.exclusively(report, () =>
      request.command === 'test' ? run.test() : run.moveTo(request.machine, request.to),
    );
    return { exit: ok ? 0 : 1 };
  } catch (error) {
    const { message, code, remedy } =
      error instanceof WeftError ? error : { message: String(error), code: 'guest-failed', remedy: '' };
    return { error: message, code, remedy };
  }
}

/** Serves requests until the server is closed. */
export function serveLab(run: LabRun, dir: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let heard = '';
    const tell = (answer: Answer): void => void socket.write(`${JSON.stringify(answer)}\n`);
    const listen = (data: Buffer): void => {
      heard += data.toString();
      const end = heard.indexOf('\n');
      if (end < 0 && heard.length <= MAX_REQUEST) return;
      socket.removeListener('data', listen);
      const line = heard.slice(0, end < 0 ? MAX_REQUEST : end);
      void perform(run, line, { write: (text) => tell({ text }) }).then((answer) => {
        tell(answer);
        socket.end();
      });
    };
    socket.on('data', listen);
    socket.on('error', () => socket.destroy());
  });
  const path = join(dir, LAB_SOCKET);
  rmSync(path, { force: true });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

/** Has the lab of a directory do something; the exit code. */
export function askLab(dir: string, request: LabRequest, report: Report): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(join(dir, LAB_SOCKET));
    let heard = '';
    const take = (line: string): void => {
      const answer = JSON.parse(line) as Answer;
      if ('text' in answer) report.write(answer.text);
      else if ('exit' in answer) resolve(answer.exit);
      else reject(new WeftError(answer.code, answer.error, { remedy: answer.remedy }));
    };
    socket.write(`${JSON.stringify(request)}\n`);
    socket.on('data', (data) => {
      const lines = (heard + data.toString()).split('\n');
      heard = lines.pop() ?? '';
      for (const line of lines) take(line);
    });
    const gone = (why: string): void =>
      reject(
        new WeftError('no-lab', `the lab does not answer: ${why}`, {
          remedy: 'it may be of another kind: see "weft lab list"',
        }),
      );
    socket.on('error', (error) => gone(error.message));
    socket.on('close', () => gone('it ended'));
  });
}
