/** The real controller, killed while clients write, and on a disk that is full: what it answered is true. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';

const weft = join(import.meta.dirname, '../../bin/weft');
const root = process.getuid?.() === 0;

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown> & { items?: Record<string, unknown>[] };
}

class Controller {
  readonly #child: ChildProcess;
  readonly #url: string;
  readonly #token: string;

  private constructor(child: ChildProcess, log: string, token: string) {
    this.#child = child;
    this.#url = /API at (\S+?),/.exec(log)![1];
    this.#token = token;
  }

  static async start(dir: string, store: string): Promise<Controller> {
    const token = join(dir, 'operator.token');
    const args = [
      'controller',
      '--dir',
      dir,
      '--token-file',
      token,
      '--api',
      '127.0.0.1:0',
      '--agents',
      'ptcp:0:127.0.0.1',
      store,
    ];
    const child = spawn(weft, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr!.on('data', (text: Buffer) => {
        log += text.toString();
        if (log.includes("operator's token: ")) resolve();
      });
      child.on('close', () => reject(new Error(`ended before it was ready: ${log}`)));
    });
    return new Controller(child, log, readFileSync(token, 'utf8').trim());
  }

  async ask(method: string, path: string, body?: object): Promise<Reply> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
  }

  async list(path: string): Promise<Record<string, unknown>[]> {
    const items: Record<string, unknown>[] = [];
    for (let cursor = ''; ; ) {
      const { body } = await this.ask('GET', `${path}?limit=1000${cursor}`);
      items.push(...body.items!);
      if (body.next === undefined) return items;
      cursor = `&cursor=${body.next}`;
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill(signal);
    await gone;
  }
}

/** One transaction: a switch and two ports, which must be there together or not at all. */
function transaction(tenant: string, tag: string): object {
  const on = crypto.randomUUID();
  const port = (n: number) => ({
    op: 'create',
    kind: 'logical-port',
    spec: { name: `p${n}`, switch: on, tags: { of: tag } },
  });
  return {
    operations: [
      { op: 'create', kind: 'logical-switch', id: on, spec: { name: tag, tenant } },
      port(1),
      port(2),
    ],
  };
}

test('what was answered outlives kill -9 at any moment, and no transaction is there in part', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-net-'));
  const store = join(dir, 'controller.db');
  const [kills] = fc.sample(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 4, maxLength: 4 }), 1);
  let controller = await Controller.start(dir, store);
  try {
    const tenant = String((await controller.ask('POST', '/v1/tenants', { name: 'red' })).body.id);
    const answered = new Map<string, number>();
    for (const [round, after] of kills.entries()) {
      let done = 0;
      const victim = controller;
      const lane = async (n: number): Promise<void> => {
        for (let i = 0; ; i++) {
          const tag = `${round}-${n}-${i}`;
          try {
            const { status, body } = await victim.ask('POST', '/v1/transactions', transaction(tenant, tag));
            assert.equal(status, 200, JSON.stringify(body));
            answered.set(tag, Number(body.revision));
          } catch (error) {
            if (error instanceof assert.AssertionError) throw error;
            return; // the connection is gone, and with it the answer
          }
          if (++done === after) await victim.end('SIGKILL');
        }
      };
      await Promise.all([0, 1, 2, 3].map(lane));
      appendFileSync(store, 'OVSDB JSON 1000 0123456789012345678901234567890123456789\n{"revision": 9');
      controller = await Controller.start(dir, store);
      const switches = await controller.list('/v1/logical-switches');
      const names = new Map(switches.map((item) => [String(item.name), Number(item.revision)]));
      for (const [tag, revision] of answered)
        assert.equal(
          names.get(tag),
          revision,
          `${tag} was answered with revision ${revision}, kills ${kills}`,
        );
      const ports = await controller.list('/v1/logical-ports');
      assert.equal(ports.length, 2 * switches.length);
      const of = new Map<unknown, number>();
      for (const port of ports) of.set(port.switch, (of.get(port.switch) ?? 0) + 1);
      for (const { id } of switches) assert.equal(of.get(id), 2);
    }
    assert.ok(answered.size >= kills.reduce((sum, n) => sum + n, 0));
  } finally {
    await controller.end('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
});

test('on a full disk writes are refused, reads go on, and room makes writes work again', {
  skip: !root && 'needs root',
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-net-'));
  const disk = join(dir, 'disk');
  mkdirSync(disk);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'weft-net', disk], {
    encoding: 'utf8',
  });
  let controller: Controller | undefined;
  try {
    assert.equal(mounted.status, 0, mounted.stderr);
    const store = join(disk, 'controller.db');
    controller = await Controller.start(dir, store);
    writeFileSync(join(disk, 'filler'), new Uint8Array(128 * 1024));
    const tags = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`t${i}`, 'x'.repeat(250)]));
    let made = 0;
    let refused: Reply | undefined;
    while (refused === undefined) {
      const reply = await controller.ask('POST', '/v1/tenants', { name: `t${made}`, tags });
      if (reply.status === 201) made++;
      else refused = reply;
    }
    assert.deepEqual([refused.status, refused.body.code], [507, 'store-full']);
    assert.match(String(refused.body.detail), /No space left on device/);
    assert.match(String(refused.body.remedy), /make room/);
    assert.ok(made > 5);
    const before = statSync(store).size;
    assert.equal((await controller.ask('POST', '/v1/tenants', { name: 'again', tags })).status, 507);
    assert.equal(statSync(store).size, before);
    assert.equal((await controller.list('/v1/tenants')).length, made);
    rmSync(join(disk, 'filler'));
    assert.equal((await controller.ask('POST', '/v1/tenants', { name: 'room', tags })).status, 201);
    await controller.end('SIGKILL');
    controller = await Controller.start(dir, store);
    const names = (await controller.list('/v1/tenants')).map((item) => item.name);
    assert.deepEqual(names.sort(), [...Array.from({ length: made }, (_, i) => `t${i}`), 'room'].sort());
  } finally {
    await controller?.end('SIGKILL');
    if (mounted.status === 0) spawnSync('umount', [disk]);
    rmSync(dir, { recursive: true, force: true });
  }
});
