import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Update } from '../../logical/protocol.ts';
import { Framer } from '../../ovsdb/rpc/framer.ts';

const weft = join(import.meta.dirname, '../../../bin/weft');

class Controller {
  readonly child: ChildProcess;
  readonly url: string;
  readonly agentPort: number;
  readonly token: string;

  private constructor(child: ChildProcess, log: string, dir: string) {
    this.child = child;
    this.url = /API at (\S+?),/.exec(log)![1];
    this.agentPort = Number(/listening on port (\d+)/.exec(log)![1]);
    this.token = readFileSync(join(dir, 'operator.token'), 'utf8').trim();
  }

  static async start(dir: string): Promise<Controller> {
    const args = ['controller', '--dir', dir, '--api', '127.0.0.1:0', '--agents', 'ptcp:0:127.0.0.1'];
    const child = spawn(weft, args, { stdio: ['ignore', 'inherit', 'pipe'] });
    let log = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr!.on('data', (text: Buffer) => {
        log += text.toString();
        if (log.includes("operator's token: ")) resolve();
      });
      child.on('close', () => reject(new Error(`ended before it was ready: ${log}`)));
    });
    return new Controller(child, log, dir);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.child.kill(signal);
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
  }

  async api(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  }
}

/** An agent on a socket, which confirms what it is told. */
class Agent {
  readonly updates: Update[] = [];
  readonly #socket: Socket;
  #more: (() => void) | undefined;

  constructor(port: number, hello: object) {
    this.#socket = connect(port, '127.0.0.1');
    const framer = new Framer(1 << 24);
    this.#socket.on('data', (bytes) => framer.feed(bytes, (text) => this.#onMessage(text)));
    this.#socket.on('error', () => {});
    this.say('hello', { version: 1, ...hello });
  }

  say(method: string, params: object): void {
    this.#socket.write(JSON.stringify({ method, params: [params], id: null }));
  }

  /** The n-th update, from 0. */
  async update(n: number): Promise<Update> {
    while (this.updates.length <= n)
      await new Promise<void>((resolve) => {
        this.#more = resolve;
      });
    return this.updates[n];
  }

  close(): void {
    this.#socket.destroy();
  }

  #onMessage(text: string): void {
    const { method, params } = JSON.parse(text) as { method: string; params: [Update] };
    if (method !== 'update') return;
    this.updates.push(params[0]);
    this.say('applied', { revision: params[0].revision, elapsed: 1 });
    this.#more?.();
  }
}

test('from the API to an agent over a socket, and the same again after kill -9', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-controller-'));
  const started: Controller[] = [];
  const agents: Agent[] = [];
  try {
    let controller = await Controller.start(dir);
    started.push(controller);
    assert.equal(statSync(join(dir, 'operator.token')).mode & 0o777, 0o600);
    const tenant = await controller.api('POST', '/v1/tenants', { name: 'acme' });
    const blue = await controller.api('POST', '/v1/logical-switches', { name: 'blue', tenant: tenant.id });
    const spec = { name: 'web-1', switch: blue.id, vif: 'vm1', addresses: [{ mac: '02:00:00:00:00:01' }] };
    const port = await controller.api('POST', '/v1/logical-ports', spec);
    const tunnels = [{ encapsulation: 'geneve', address: '192.0.2.1' }];
    await controller.api('POST', '/v1/transport-nodes', { name: 'h1', systemId: 'h1', tunnels });
    const { token } = await controller.api('POST', '/v1/tokens', { role: 'node', node: 'h1' });

    const first = new Agent(controller.agentPort, { systemId: 'h1', token });
    agents.push(first);
    assert.deepEqual((await first.update(0)).insert, {});
    first.say('locations', { vifs: [{ vif: 'vm1', name: 'tap0', active: true }] });
    const { insert } = await first.update(1);
    assert.equal(insert.placement?.length, 1);
    assert.ok(insert.flow!.length > 0);
    const acl = { switch: blue.id, direction: 'to-port', priority: 1, match: {}, action: 'drop' };
    const { revision } = await controller.api('POST', '/v1/acls', acl);
    const done = await controller.api('GET', `/v1/revisions/${String(revision)}?wait=applied`);
    assert.equal(done.realized, true);
    const { insert: more } = await first.update(2);
    assert.ok(more.flow!.length > 0);
    assert.equal((await controller.api('GET', `/v1/logical-ports/${String(port.id)}`)).realized, true);
    const control = readdirSync(dir).find((f) => f.endsWith('.ctl'))!;
    const show = spawnSync('ovs-appctl', ['-t', join(dir, control), 'network/show'], { encoding: 'utf8' });
    if (show.error === undefined)
      assert.match(show.stdout, /h1: connected from tcp:127\.0\.0\.1:\d+, confirmed/);

    await controller.end('SIGKILL');
    controller = await Controller.start(dir);
    started.push(controller);
    // Where the VIF is, the controller knows before any agent says so: nobody's flows go away for a while.
    const again = new Agent(controller.agentPort, { systemId: 'h1', token });
    agents.push(again);
    const all = await again.update(0);
    assert.equal(all.reset, true);
    assert.deepEqual(all.insert.placement, insert.placement);
    const texts = (rows: readonly object[] = []): string[] => rows.map((r) => JSON.stringify(r)).sort();
    assert.deepEqual(texts(all.insert.flow), texts([...insert.flow!, ...more.flow!]));
    await controller.end('SIGTERM');
    assert.equal(controller.child.signalCode, 'SIGTERM');
  } finally {
    for (const agent of agents) agent.close();
    for (const controller of started) await controller.end('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
});

const refused: [string, string[], RegExp][] = [
  ['a limit that is no number', ['--max-objects', 'many'], /--max-objects many: is no number of objects/],
  ['an API address that is none', ['--api', 'nowhere'], /--api nowhere: is not HOST:PORT/],
  ['an agents address that is none', ['--agents', 'tcp:1.2.3.4:5'], /--agents tcp:1\.2\.3\.4:5: is no place/],
  [
    'an API open to all without TLS',
    ['--agents', 'ptcp:0:127.0.0.1', '--api', '0.0.0.0:0'],
    /will not listen on 0\.0\.0\.0 without TLS/,
  ],
  [
    'a token file that cannot be',
    ['--token-file', '/dev/null/x'],
    /--token-file \/dev\/null\/x: Not a directory/,
  ],
];
for (const [name, args, message] of refused)
  test(`${name} is an error that says so`, () => {
    const dir = mkdtempSync(join(tmpdir(), 'weft-controller-'));
    try {
      const done = spawnSync(weft, ['controller', '--dir', dir, ...args], { encoding: 'utf8' });
      assert.equal(done.status, 1);
      assert.match(done.stderr, message);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
