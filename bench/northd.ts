/**
 * The same logical networks in ours and in OVN's ovn-northd (Debian's ovn-central), in one run: switches of 9 ports, two ACLs
 * for each port. Full: from all objects to all logical flows; +1 port: until its flows are out.
 *
 *     npm run bench -- northd [--json] [--small | --switches=N]
 *
 * northd is started over a filled northbound database and an empty southbound one, and done when it says so
 * (NB_Global's sb_cfg has come to nb_cfg). Ours has one host with all ports, and every update is made into JSON text. The
 * smaller of two full runs counts, for either.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Framer } from '../src/ovsdb/rpc/framer.ts';
import { ipOf, macOf } from './logical-networks.ts';
import type { OursMeasured } from './northd-child.ts';

const PORTS = 9;
const ROUNDS = 7;
const SCHEMAS = '/usr/share/ovn';
const child = join(dirname(fileURLToPath(import.meta.url)), 'northd-child.ts');
const json = process.argv.includes('--json');
const one = process.argv.find((a) => a.startsWith('--switches='));
const sizes =
  one !== undefined
    ? [Number(one.slice('--switches='.length))]
    : process.argv.includes('--small')
      ? [50, 200]
      : [200, 700, 2000];

/** One connection to a database. */
class Database {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #id = 0;
  #sbCfg = 0;
  #changed: (() => void) | undefined;

  constructor(path: string) {
    this.#socket = connect(path);
    const framer = new Framer(1 << 28);
    this.#socket.on('data', (bytes) => framer.feed(bytes, (text) => this.#onMessage(text)));
  }

  request(method: string, ...params: unknown[]): Promise<unknown> {
    const id = ++this.#id;
    this.#socket.write(JSON.stringify({ method, params, id }));
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  async transact(...operations: object[]): Promise<void> {
    const results = (await this.request('transact', 'OVN_Northbound', ...operations)) as ({
      error?: string;
    } | null)[];
    const failed = results.find((r) => r?.error !== undefined);
    if (failed !== undefined) throw new Error(JSON.stringify(failed));
  }

  async watch(): Promise<void> {
    await this.request('monitor', 'OVN_Northbound', null, { NB_Global: [{ columns: ['sb_cfg'] }] });
  }

  /** Does the operations, and waits until northd has done what follows from them. */
  async through(cfg: number, ...operations: object[]): Promise<number> {
    const at = performance.now();
    await this.transact(...operations, {
      op: 'update',
      table: 'NB_Global',
      where: [],
      row: { nb_cfg: cfg },
    });
    while (this.#sbCfg < cfg)
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    return performance.now() - at;
  }

  close(): void {
    this.#socket.destroy();
  }

  #onMessage(text: string): void {
    const message = JSON.parse(text) as { method?: string; id: number; params?: unknown[]; result?: unknown };
    if (message.method === 'echo') {
      this.#socket.write(JSON.stringify({ result: message.params, error: null, id: message.id }));
    } else if (message.method === 'update') {
      const updates = message.params![1] as { NB_Global?: Record<string, { new?: { sb_cfg: number } }> };
      for (const row of Object.values(updates.NB_Global ?? {})) this.#sbCfg = row.new?.sb_cfg ?? this.#sbCfg;
      this.#changed?.();
    } else {
      this.#waiting.get(message.id)?.(message.result);
      this.#waiting.delete(message.id);
    }
  }
}

let serial = 0;
/** A port with its two ACLs, as operations that add them to a switch that `where` finds. */
function portOperations(i: number, where: object[]): object[] {
  const n = serial++;
  const acl = (name: string, direction: string, match: string): object => ({
    op: 'insert',
    table: 'ACL',
    'uuid-name': name,
    row: { priority: 100, direction, match, action: 'drop' },
  });
  return [
    {
      op: 'insert',
      table: 'Logical_Switch_Port',
      'uuid-name': `p${n}`,
      row: {
        name: `lp${n}`,
        addresses: `${macOf(n)} ${ipOf(i)}`,
        port_security: `${macOf(n)} ${ipOf(i)}`,
      },
    },
    acl(`a${n}`, 'to-lport', `outport == "lp${n}" && tcp.dst == 22`),
    acl(`b${n}`, 'from-lport', `inport == "lp${n}" && udp.dst == 53`),
    {
      op: 'mutate',
      table: 'Logical_Switch',
      where,
      mutations: [
        ['ports', 'insert', ['named-uuid', `p${n}`]],
        [
          'acls',
          'insert',
          [
            'set',
            [
              ['named-uuid', `a${n}`],
              ['named-uuid', `b${n}`],
            ],
          ],
        ],
      ],
    },
  ];
}

interface TheirsMeasured {
  readonly fullMs: number;
  readonly plusMs: number;
  readonly flows: number;
  readonly rssMb: number;
}

async function theirs(switches: number): Promise<TheirsMeasured> {
  const dir = mkdtempSync(join(tmpdir(), 'weft-bench-northd-'));
  const children: ChildProcess[] = [];
  const start = (command: string, ...args: string[]): ChildProcess => {
    const env = { ...process.env, OVN_RUNDIR: dir, OVS_RUNDIR: dir, OVN_LOGDIR: dir, OVS_LOGDIR: dir };
    const started = spawn(command, args, { stdio: 'ignore', env });
    children.push(started);
    return started;
  };
  try {
    for (const db of ['nb', 'sb']) {
      const file = join(dir, `${db}.db`);
      spawnSync('ovsdb-tool', ['create', file, join(SCHEMAS, `ovn-${db}.ovsschema`)]);
      start('ovsdb-server', file, `--remote=punix:${join(dir, `${db}.sock`)}`, `--unixctl=${dir}/${db}.ctl`);
      while (!existsSync(join(dir, `${db}.sock`))) await sleep(20);
    }
    const nb = new Database(join(dir, 'nb.sock'));
    await nb.transact({ op: 'insert', table: 'NB_Global', row: {} });
    for (let n = 0; n < switches; n++) {
      const made = { op: 'insert', table: 'Logical_Switch', row: { name: `ls${n}` } };
      const where = [['name', '==', `ls${n}`]];
      const ports = Array.from({ length: PORTS }, (_, i) => portOperations(i, where));
      await nb.transact(made, ...ports.flat());
    }
    await nb.watch();
    const at = performance.now();
    const northd = start(
      'ovn-northd',
      `--ovnnb-db=unix:${dir}/nb.sock`,
      `--ovnsb-db=unix:${dir}/sb.sock`,
      `--unixctl=${dir}/northd.ctl`,
    );
    await nb.through(1);
    const fullMs = performance.now() - at;
    const steps: number[] = [];
    for (let n = 0; n < ROUNDS; n++) {
      const [port, , , mutate] = portOperations(PORTS, [['name', '==', `ls${n}`]]) as [
        object,
        object,
        object,
        { mutations: unknown[] },
      ];
      steps.push(await nb.through(2 + n, port, { ...mutate, mutations: mutate.mutations.slice(0, 1) }));
    }
    const status = readFileSync(`/proc/${northd.pid}/status`, 'utf8');
    const sb = new Database(join(dir, 'sb.sock'));
    const [{ rows }] = (await sb.request('transact', 'OVN_Southbound', {
      op: 'select',
      table: 'Logical_Flow',
      where: [],
      columns: ['_uuid'],
    })) as [{ rows: object[] }];
    nb.close();
    sb.close();
    return {
      fullMs,
      plusMs: [...steps].sort((a, b) => a - b)[ROUNDS >> 1],
      flows: rows.length,
      rssMb: Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024,
    };
  } finally {
    for (const started of children) {
      started.kill('SIGKILL');
      if (started.exitCode === null && started.signalCode === null) await once(started, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  }
}

function ours(switches: number): OursMeasured {
  const done = spawnSync(process.execPath, ['--max-old-space-size=6144', child, String(switches)], {
    encoding: 'utf8',
  });
  if (done.status !== 0) throw new Error(`ours at ${switches}: ${done.error?.message ?? done.stderr.trim()}`);
  return JSON.parse(done.stdout) as OursMeasured;
}

interface Row {
  readonly switches: number;
  readonly ours: OursMeasured;
  readonly theirs: TheirsMeasured | undefined;
}

const better = <T extends { readonly fullMs: number; readonly plusMs: number }>(a: T, b: T): T => ({
  ...a,
  fullMs: Math.min(a.fullMs, b.fullMs),
  plusMs: Math.min(a.plusMs, b.plusMs),
});
const present =
  spawnSync('ovn-northd', ['--version']).status === 0 && existsSync(`${SCHEMAS}/ovn-nb.ovsschema`);
if (!present)
  console.error('bench: ovn-northd is not installed ("sh scripts/setup.sh --peers"): ours is shown alone');
const measured: Row[] = [];
for (const switches of sizes) {
  // By turns, so that a machine that is busy for a while is so for both.
  const first = { ours: ours(switches), theirs: present ? await theirs(switches) : undefined };
  const second = { ours: ours(switches), theirs: present ? await theirs(switches) : undefined };
  measured.push({
    switches,
    ours: better(first.ours, second.ours),
    theirs:
      first.theirs === undefined || second.theirs === undefined
        ? undefined
        : better(first.theirs, second.theirs),
  });
}
const cell = (n: number | undefined, digits = 0): string =>
  (n === undefined
    ? '-'
    : n.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })
  ).padStart(12);
console.log(`${'switches'.padEnd(28)}${measured.map((m) => cell(m.switches)).join('')}`);
for (const [name, digits, f] of [
  ['full, ms: ours', 0, (m) => m.ours.fullMs],
  ['full, ms: ovn-northd', 0, (m) => m.theirs?.fullMs],
  ['  times faster', 1, (m) => m.theirs && m.theirs.fullMs / m.ours.fullMs],
  ['+1 port, ms: ours', 2, (m) => m.ours.plusMs],
  ['+1 port, ms: ovn-northd', 2, (m) => m.theirs?.plusMs],
  ['  times faster', 0, (m) => m.theirs && m.theirs.plusMs / m.ours.plusMs],
  ['logical flows: ours', 0, (m) => m.ours.flows],
  ['logical flows: ovn-northd', 0, (m) => m.theirs?.flows],
  ['memory, MB: ours', 0, (m) => m.ours.rssMb],
  ['memory, MB: ovn-northd', 0, (m) => m.theirs?.rssMb],
] as const satisfies readonly (readonly [string, number, (m: Row) => number | undefined])[])
  console.log(`${name.padEnd(28)}${measured.map((m) => cell(f(m), digits)).join('')}`);
if (json) {
  const { ours: us, theirs: them } = measured.at(-1)!;
  console.log(
    JSON.stringify({
      bench: 'northd',
      ours: us.fullMs,
      theirs: them?.fullMs,
      ratio: them && them.fullMs / us.fullMs,
      plusRatio: them && them.plusMs / us.plusMs,
      measured,
    }),
  );
}
