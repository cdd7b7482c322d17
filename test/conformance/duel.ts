import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { composePacket } from '../../src/datapath/packet/compose.ts';
import { parseMatch } from '../../src/flow/match-parse.ts';
import {
  normalCounters,
  normalMegaflows,
  normalRows,
  normalTable,
  normalTrace,
  sameMegaflows,
  sameTrace,
} from './accepted.ts';
import { Daemons } from './daemons.ts';
import { randomMetadata, randomPacket } from './packets.ts';
import type { Random } from './random.ts';
import { DEVICES, hasMirror, setup } from './setups.ts';
import { randomTables, type Tables } from './tables.ts';

export interface Difference {
  readonly what: string;
  readonly tables: Tables;
  readonly packets: readonly string[];
  readonly stock: string;
  readonly ours: string;
}

export interface Counts {
  tables: number;
  flows: number;
  refusals: number;
  traces: number;
  packets: number;
}

export interface Size {
  readonly traces: number;
  readonly packets: number;
  /** Whether the datapath's flows are compared too; which of them are stale at that time differs. */
  readonly megaflows: boolean;
}

/** So many differences of a table set are cut down to the flows that matter. */
const MAX_SHRUNK = 6;

/** Stock and ours, set up alike, and the means to hold them against each other. */
export class Duel {
  readonly counts: Counts = { tables: 0, flows: 0, refusals: 0, traces: 0, packets: 0 };
  readonly differences: Difference[] = [];
  readonly #stock = new Daemons('stock');
  readonly #ours = new Daemons('ours');

  #mirrors = false;

  async start(setupNumber: number): Promise<void> {
    this.#mirrors = hasMirror(setupNumber);
    for (const side of this.#sides()) {
      await side.start();
      side.must('ovs-vsctl', '--timeout=20', ...setup(setupNumber, side.dir));
      for (const bridge of ['br0', 'br1']) side.must('ovs-ofctl', 'add-flow', bridge, 'actions=NORMAL');
      await side.appctl('time/stop');
    }
  }

  stop(): void {
    for (const side of this.#sides()) side.stop();
  }

  /** One table set: loaded, traced, and with packets sent through. */
  async round(r: Random, size: Size): Promise<void> {
    const tables = this.#load(randomTables(r));
    this.counts.tables++;
    this.counts.flows += tables.flows.length;
    const queries = Array.from(
      { length: size.traces },
      () => randomPacket(r) + (r.oneIn(3) ? randomMetadata(r) : ''),
    );
    await this.#traces(tables, queries);
    const packets = Array.from({ length: size.packets }, () => randomPacket(r));
    await this.#receive(tables, packets, size.megaflows);
    await this.#traces(tables, queries.slice(0, size.traces / 4), packets);
    await this.#reset();
  }

  /** Prints what both say of packets, by hand. */
  async one(lines: readonly string[], queries: readonly string[]): Promise<void> {
    const groups = lines.filter((line) => line.startsWith('group_id='));
    this.#load({ groups, flows: lines.filter((line) => !groups.includes(line)) });
    for (const difference of this.differences) console.log(describe(difference));
    for (const query of queries) {
      const [stock, ours] = await this.#trace(query);
      console.log(`=== ${query}\n${stock}\n--- ours\n${stock === ours ? 'same' : ours}`);
    }
  }

  #same(stock: string, ours: string): boolean {
    return sameTrace(stock, ours, this.#mirrors);
  }

  #sides(): Daemons[] {
    return [this.#stock, this.#ours];
  }

  #note(what: string, tables: Tables, packets: readonly string[], stock: string, ours: string): void {
    if (stock !== ours) this.differences.push({ what, tables, packets, stock, ours });
  }

  // --- Tables -------------------------------------------------------------------------------------------

  /** Loads what both accept; that they refuse alike is checked. */
  #load(tables: Tables): Tables {
    const groups = tables.groups.filter((line) => this.#refused('add-groups', [line], tables) === false);
    return { groups, flows: this.#loadFlows(tables.flows, { ...tables, groups }) };
  }

  /** Halves a list that is refused until single flows are. */
  #loadFlows(flows: readonly string[], tables: Tables): string[] {
    if (flows.length === 0 || this.#refused('add-flows', flows, { ...tables, flows }) === false)
      return [...flows];
    if (flows.length === 1) {
      this.counts.refusals++;
      return [];
    }
    const middle = flows.length >> 1;
    return [
      ...this.#loadFlows(flows.slice(0, middle), tables),
      ...this.#loadFlows(flows.slice(middle), tables),
    ];
  }

  /** False if both switches took the lines, else what stock said. */
  #refused(command: 'add-flows' | 'add-groups', lines: readonly string[], tables: Tables): string | false {
    const version = command === 'add-groups' ? ['-O', 'OpenFlow15'] : ['--bundle'];
    const [stock, ours] = this.#sides().map((side) => {
      const file = join(side.dir, 'lines');
      writeFileSync(file, `${lines.join('\n')}\n`);
      const { status, stderr } = side.run('ovs-ofctl', ...version, command, 'br0', file);
      return status === 0 ? '' : stderr.replaceAll(side.dir, 'DIR').replace(/\d{4}-\d\d-\d\dT[^|]*\|/gm, '');
    });
    this.#note(
      command,
      command === 'add-flows' ? { ...tables, flows: lines } : { groups: lines, flows: [] },
      [],
      stock,
      ours,
    );
    if (stock === '' && ours === '') return false;
    if (stock === '' || ours === '') {
      // One took it: neither shall have it.
      const side = stock === '' ? this.#stock : this.#ours;
      if (command === 'add-groups')
        side.run(
          'ovs-ofctl',
          '-O',
          'OpenFlow15',
          'del-groups',
          'br0',
          `group_id=${/group_id=(\d+)/.exec(lines[0])?.[1]}`,
        );
      else if (lines.length === 1)
        side.run(
          'ovs-ofctl',
          '--strict',
          'del-flows',
          'br0',
          lines[0].replace(
            /,?(actions=.*|cookie=\w+|idle_timeout=\d+|hard_timeout=\d+|send_flow_rem|importance=\d+|reset_counts|no_packet_counts)/g,
            '',
          ),
        );
      else side.run('ovs-ofctl', 'del-flows', 'br0');
    }
    return stock === '' ? ours : stock;
  }

  async #reset(): Promise<void> {
    for (const side of this.#sides()) {
      side.must('ovs-ofctl', 'del-flows', 'br0');
      side.must('ovs-ofctl', '-O', 'OpenFlow15', 'del-groups', 'br0');
      await side.appctl('fdb/flush');
      await side.appctl('revalidator/purge');
    }
  }

  // --- Traces -------------------------------------------------------------------------------------------

  async #traces(tables: Tables, queries: readonly string[], before: readonly string[] = []): Promise<void> {
    let shrunk = 0;
    for (const query of queries) {
      const [stock, ours] = await this.#trace(query);
      this.counts.traces++;
      if (this.#same(stock, ours)) continue;
      if (before.length > 0 || shrunk++ >= MAX_SHRUNK)
        this.#note('trace', tables, [...before, query], stock, ours);
      else await this.#shrink(tables, query, [stock, ours]);
    }
  }

  async #trace(query: string): Promise<[string, string]> {
    const texts = await Promise.all(
      this.#sides().map((side) =>
        side.appctl('ofproto/trace', ...(query.startsWith('br1 ') ? query.split(' ') : ['br0', query])),
      ),
    );
    const [stock, ours] = texts.map(normalTrace);
    return [stock, ours];
  }

  /** Takes flows away as long as the traces differ. */
  async #shrink(tables: Tables, query: string, first: readonly string[]): Promise<void> {
    let flows = tables.flows;
    const reload = (lines: readonly string[]): void => {
      for (const side of this.#sides()) {
        const file = join(side.dir, 'lines');
        writeFileSync(file, `${lines.join('\n')}\n`);
        side.must('ovs-ofctl', 'del-flows', 'br0');
        side.must('ovs-ofctl', '--bundle', 'add-flows', 'br0', file);
      }
    };
    for (let size = flows.length >> 1; size >= 1; size >>= 1) {
      for (let at = 0; at < flows.length; ) {
        const fewer = [...flows.slice(0, at), ...flows.slice(at + size)];
        reload(fewer);
        const [stock, ours] = await this.#trace(query);
        if (!this.#same(stock, ours)) flows = fewer;
        else at += size;
      }
    }
    reload(flows);
    const [stock, ours] = await this.#trace(query);
    const named = tables.groups.filter((line) => {
      const id = /group_id=(\d+)/.exec(line)?.[1];
      return flows.some((flow) => flow.includes(`group:${id}`));
    });
    const gone = this.#same(stock, ours);
    if (gone) this.#note('trace, once only', tables, [query], first[0], first[1]);
    else this.#note('trace', { groups: named, flows }, [query], stock, ours);
    reload(tables.flows);
  }

  // --- Packets ------------------------------------------------------------------------------------------

  async #receive(tables: Tables, packets: readonly string[], compareMegaflows: boolean): Promise<void> {
    for (const side of this.#sides()) for (const port of DEVICES) side.sent(port);
    for (const text of packets) {
      const bytes = composePacket(parseMatch(text).flow.slice());
      if (bytes === null) continue;
      const hex = Buffer.from(bytes).toString('hex');
      const port = /in_port=(\d)/.exec(text)?.[1];
      this.counts.packets++;
      for (const side of this.#sides()) {
        await side.appctl('netdev-dummy/receive', port === '6' ? 'q2' : `p${port}`, hex);
        // A turn of the main loop takes the packet, the next answers.
        await side.appctl('version');
      }
    }
    const note = (what: string, texts: readonly string[]): void =>
      this.#note(what, tables, packets, texts[0], texts[1]);
    await sleep(20);
    for (const bridge of ['br0', 'br1']) {
      const stations = await this.#ask((side) => side.appctl('fdb/show', bridge));
      note(`fdb ${bridge}`, stations.map(normalRows));
    }
    await this.#ask((side) => side.appctl('time/warp', '1000'));
    await this.#ask((side) => side.appctl('revalidator/wait'));
    // Before, flows that were installed when fewer stations were known may still flood.
    const megaflows = await this.#ask((side) => side.appctl('dpctl/dump-flows'));
    if (compareMegaflows && !sameMegaflows(megaflows[0], megaflows[1]))
      note('megaflows', megaflows.map(normalMegaflows));
    for (const bridge of ['br0', 'br1']) {
      const dumps = await this.#ask((side) => side.must('ovs-ofctl', 'dump-flows', bridge));
      note(`counters ${bridge}`, dumps.map(normalCounters));
    }
    const groups = await this.#ask((side) =>
      side.must('ovs-ofctl', '-O', 'OpenFlow15', 'dump-group-stats', 'br0'),
    );
    note('groups', groups.map(normalTable));
    for (const port of DEVICES) {
      const sent = this.#sides().map((side) => side.sent(port));
      for (let i = 0; i < 20 && sent[0].length !== sent[1].length; i++) {
        await sleep(20);
        this.#sides().forEach((side, n) => void sent[n].push(...side.sent(port)));
      }
      note(
        `sent by ${port}`,
        sent.map((list) => list.join('\n')),
      );
    }
    const ports = await this.#ask((side) => side.must('ovs-ofctl', 'dump-ports', 'br0'));
    note('ports', ports.map(normalTable));
  }

  #ask(question: (side: Daemons) => string | Promise<string>): Promise<string[]> {
    return Promise.all(this.#sides().map(question));
  }
}

/** A difference as a person wants to see it. */
export function describe(difference: Difference): string {
  const { what, tables, packets, stock, ours } = difference;
  const a = stock.split('\n');
  const b = ours.split('\n');
  const lines = [`--- ${what}`];
  if (what === 'trace' || what.startsWith('add')) lines.push(...tables.groups, ...tables.flows);
  lines.push(...packets.slice(-1));
  const only = (from: string[], other: string[], sign: string): string[] =>
    from
      .filter((line) => !other.includes(line))
      .slice(0, 12)
      .map((line) => `${sign} ${line}`);
  lines.push(...only(a, b, 'stock:'), ...only(b, a, 'ours: '));
  if (lines.every((line) => !/^(stock|ours)/.test(line)))
    lines.push(`same lines in another order:\n${stock}\n${ours}`);
  return lines.join('\n');
}

/** Keeps a difference in full. */
export function save(difference: Difference, dir: string, name: string): void {
  mkdirSync(dir, { recursive: true });
  rmSync(join(dir, name), { force: true });
  writeFileSync(join(dir, name), JSON.stringify(difference, null, 1));
}
