/** `weft net` in this process, against an API server on a socket. */
import { readFileSync } from 'node:fs';
import { makeApi, OPERATOR_TOKEN } from '../../src/api/testing/harness.ts';
import { WeftError } from '../../src/base/errors.ts';
import { runNet } from '../../src/cli/net/command.ts';
import type { NetWorld } from '../../src/cli/net/context.ts';

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function makeNet() {
  const api = await makeApi();
  const base = await api.server.listen({ port: 0 });
  let ids = 0;
  const files = new Map<string, string>();
  let answer: boolean | undefined;
  const asked: string[] = [];

  /** Runs a command line; words are split at spaces, '...' holds spaces. */
  async function net(line: string, more: Partial<NetWorld> = {}): Promise<Said> {
    const said = { out: '', err: '' };
    const world: NetWorld = {
      io: {
        out: (text) => {
          said.out += text;
        },
        err: (text) => {
          said.err += text;
        },
      },
      env: { WEFT_API: base, WEFT_TOKEN: OPERATOR_TOKEN },
      readFile: (path) => files.get(path) ?? readFileSync(path, 'utf8'),
      fetch,
      trust: () => undefined,
      newId: () => `55555555-0000-4000-8000-${String(++ids).padStart(12, '0')}`,
      confirm: (question) => {
        asked.push(question);
        return Promise.resolve(answer);
      },
      ended: new AbortController().signal,
      ...more,
    };
    const words = [...line.matchAll(/'([^']*)'|[^\s']+(?:'[^']*')?/g)].map(
      ([word, quoted]) => quoted ?? word.replaceAll("'", ''),
    );
    try {
      return { code: await runNet(words, world), ...said };
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      return {
        code: error.code === 'bad-option' ? 2 : 1,
        out: said.out,
        err: `${said.err}${error.message}\n${error.remedy}\n`,
      };
    }
  }
  return {
    ...api,
    base,
    net,
    files,
    asked,
    /** What the person at the terminal says; undefined: there is none. */
    setAnswer: (value: boolean | undefined) => {
      answer = value;
    },
  };
}
