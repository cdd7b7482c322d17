/**
 * `npm run bench -- ovsdb [--json] [--rows=N] [--rounds=N]`: what a database server does in a second, over raw sockets:
 * our `compat/ovsdb-server` and the stock one, turn about in the same run, with 10,000 rows unless told otherwise.
 * Medians.
 */
import { ZERO_UUID } from '../src/ovsdb/data/atom.ts';
import { OvsdbServer, type Peer } from './ovsdb-server.ts';
import { stockMissing } from './switches.ts';

const number = (name: string, otherwise: number): number => {
  const word = process.argv.find((each) => each.startsWith(`--${name}=`));
  return word === undefined ? otherwise : Number(word.slice(name.length + 3));
};
const ROWS = number('rows', 10_000);
const ROUNDS = number('rounds', 3);
/** Requests that are under way at once where they need not wait for each other. */
const PIPELINE = 32;
const WATCHERS = 20;

type Operation = { readonly [member: string]: unknown };

const insertRow = (name: string): Operation => ({
  op: 'insert',
  table: 'QoS',
  row: {
    type: name,
    other_config: [
      'map',
      [
        ['max-rate', '1000000'],
        ['min-rate', '1000'],
      ],
    ],
  },
});

const transact = (peer: Peer, ...operations: Operation[]): Promise<unknown> =>
  peer.ask('transact', ['Open_vSwitch', ...operations]);

/** One after another. */
async function inTurn(n: number, action: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < n; i++) await action(i);
}

/** With several under way. */
async function atOnce(n: number, action: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < n) await action(next++);
  };
  await Promise.all(Array.from({ length: PIPELINE }, lane));
}

/** Each gives how many things it did. */
const STEPS: readonly {
  readonly name: string;
  run(server: OvsdbServer, peer: Peer, round: number): Promise<number>;
}[] = [
  {
    name: 'mutations, in turn',
    async run(_, peer, round) {
      await inTurn(1000, (i) => {
        const mutations = [['external_ids', 'insert', ['map', [[`k${round}-${i}`, 'v']]]]];
        return transact(peer, { op: 'mutate', table: 'Open_vSwitch', where: [], mutations });
      });
      await transact(peer, {
        op: 'update',
        table: 'Open_vSwitch',
        where: [],
        row: { external_ids: ['map', []] },
      });
      return 1000;
    },
  },
  {
    name: 'durable inserts, in turn',
    async run(_, peer, round) {
      const n = 200;
      await inTurn(n, (i) => transact(peer, insertRow(`d${round}-${i}`), { op: 'commit', durable: true }));
      return n;
    },
  },
  {
    name: 'inserts, pipelined',
    async run(_, peer, round) {
      const n = 5000;
      await atOnce(n, (i) => transact(peer, insertRow(`p${round}-${i}`)));
      return n;
    },
  },
  {
    name: 'updates, pipelined',
    async run(_, peer, round) {
      const n = 5000;
      await atOnce(n, (i) => {
        const where = [['_uuid', '==', ['uuid', peer.uuids[i % peer.uuids.length]]]];
        return transact(peer, {
          op: 'update',
          table: 'QoS',
          where,
          row: { external_ids: ['map', [['n', `${round}-${i}`]]] },
        });
      });
      return n;
    },
  },
  {
    name: 'selects of one row by a column',
    async run(_, peer) {
      await inTurn(500, (i) =>
        transact(peer, { op: 'select', table: 'QoS', where: [['type', '==', `row${i}`]], columns: ['type'] }),
      );
      return 500;
    },
  },
  {
    name: 'selects by uuid, in turn',
    async run(_, peer) {
      await inTurn(2000, (i) =>
        transact(peer, {
          op: 'select',
          table: 'QoS',
          where: [['_uuid', '==', ['uuid', peer.uuids[i % peer.uuids.length]]]],
          columns: ['type'],
        }),
      );
      return 2000;
    },
  },
  {
    name: 'rows selected, whole table',
    async run(_, peer) {
      const n = 5;
      await inTurn(n, () => transact(peer, { op: 'select', table: 'QoS', where: [] }));
      return n * ROWS;
    },
  },
  {
    name: 'rows of new monitors',
    async run(server) {
      const n = 5;
      await inTurn(n, async () => {
        const watcher = await server.connect();
        await watcher.ask('monitor_cond_since', ['Open_vSwitch', 'm', { QoS: [{}] }, ZERO_UUID]);
        watcher.close();
      });
      return n * ROWS;
    },
  },
  {
    name: `updates to ${WATCHERS} monitors`,
    async run(server, peer, round) {
      const watchers = await Promise.all(Array.from({ length: WATCHERS }, () => server.connect()));
      for (const watcher of watchers)
        await watcher.ask('monitor_cond', [
          'Open_vSwitch',
          'm',
          { QoS: [{ columns: ['external_ids'], select: { initial: false } }] },
        ]);
      const n = 500;
      await atOnce(n, (i) => {
        const where = [['_uuid', '==', ['uuid', peer.uuids[i % peer.uuids.length]]]];
        return transact(peer, {
          op: 'update',
          table: 'QoS',
          where,
          row: { external_ids: ['map', [['w', `${round}-${i}`]]] },
        });
      });
      // A reply behind the updates says that they have all come.
      await Promise.all(watchers.map((watcher) => watcher.ask('echo', [])));
      for (const watcher of watchers) watcher.close();
      return n * WATCHERS;
    },
  },
];

const missing = stockMissing();
if (missing !== null) {
  console.error(`bench: ${missing}`);
  process.exit(1);
}

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1];

/** Things a second, by step. */
async function round(server: OvsdbServer, peer: Peer, n: number): Promise<number[]> {
  const rates: number[] = [];
  for (const step of STEPS) {
    const start = performance.now();
    const done = await step.run(server, peer, n);
    rates.push((done * 1000) / (performance.now() - start));
  }
  return rates;
}

const servers: OvsdbServer[] = [];
const results: Record<'ours' | 'stock', number[][]> = { ours: [], stock: [] };
const starts: Record<'ours' | 'stock', number> = { ours: 0, stock: 0 };
const memory: Record<'ours' | 'stock', number> = { ours: 0, stock: 0 };
try {
  const peers: Peer[] = [];
  for (const whose of ['ours', 'stock'] as const) {
    const server = await OvsdbServer.start(whose);
    servers.push(server);
    const peer = await server.connect();
    peers.push(peer);
    await transact(peer, { op: 'insert', table: 'Open_vSwitch', row: {} });
    for (let at = 0; at < ROWS; at += 1000) {
      const rows = Array.from({ length: Math.min(1000, ROWS - at) }, (_, i) => insertRow(`row${at + i}`));
      const results = (await transact(peer, ...rows)) as { uuid: [string, string] }[];
      peer.uuids.push(...results.slice(0, rows.length).map((result) => result.uuid[1]));
    }
  }
  for (let n = 0; n < ROUNDS; n++) {
    for (const [i, whose] of (['ours', 'stock'] as const).entries()) {
      results[whose].push(await round(servers[i], peers[i], n));
    }
  }
  for (const [i, whose] of (['ours', 'stock'] as const).entries()) {
    memory[whose] = servers[i].residentKilobytes();
    starts[whose] = await servers[i].restart();
  }
} finally {
  for (const server of servers) await server.close();
}

const figures = STEPS.map(({ name }, step) => {
  const [ours, theirs] = (['ours', 'stock'] as const).map((whose) =>
    Math.round(median(results[whose].map((rates) => rates[step]))),
  );
  return { name, ours, theirs, ratio: Number((ours / theirs).toFixed(3)) };
});
const start = { ours: Math.round(starts.ours), theirs: Math.round(starts.stock) };
const resident = { ours: Math.round(memory.ours / 1024), theirs: Math.round(memory.stock / 1024) };
const line = (name: string, ours: number, theirs: number): void =>
  console.log(
    `${name.padEnd(32)}${String(ours).padStart(10)}${String(theirs).padStart(10)}${(ours / theirs).toFixed(2).padStart(15)}`,
  );
console.log('a second                              ours     stock   ours / stock');
for (const { name, ours, theirs } of figures) line(name, ours, theirs);
line('ms from start to first answer', start.ours, start.theirs);
line('MB resident', resident.ours, resident.theirs);
if (process.argv.includes('--json')) {
  const least = figures.reduce((a, b) => (a.ratio < b.ratio ? a : b));
  const { ours, theirs, ratio } = least;
  console.log(
    JSON.stringify({
      bench: 'ovsdb',
      ours,
      theirs,
      ratio,
      least: least.name,
      rows: ROWS,
      figures,
      start,
      resident,
    }),
  );
}
