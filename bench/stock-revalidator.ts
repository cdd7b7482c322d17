import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DummySwitch, stockMissing } from './switches.ts';

/** Megaflows put into stock's datapath at a time. */
const CHUNK = 10_000;

/** How long stock's revalidators take. */
export class StockRevalidator {
  readonly #stock: DummySwitch;

  private constructor(stock: DummySwitch) {
    this.#stock = stock;
  }

  /** Or why there can be none. */
  static async open(): Promise<StockRevalidator | string> {
    const missing = stockMissing();
    if (missing !== null) return missing;
    return new StockRevalidator(await DummySwitch.start('stock'));
  }

  close(): Promise<void> {
    return this.#stock.close();
  }

  /** Makes `count` megaflows; ms that a pass takes, at rest and after changes. */
  async measure(count: number): Promise<{ rest: number; changed: number; flows: number }> {
    const stock = this.#stock;
    const set = ['--timeout=20', 'set', 'Open_vSwitch', '.'];
    stock.run('ovs-vsctl', ...set, 'other_config:max-idle=3600000', 'other_config:flow-limit=1000000');
    stock.run(
      'ovs-vsctl',
      '--timeout=20',
      'add-br',
      'br0',
      '--',
      'set',
      'bridge',
      'br0',
      'datapath_type=dummy',
    );
    for (const [n, name] of ['p1', 'p2'].entries()) {
      const request = `ofport_request=${n + 1}`;
      stock.run(
        'ovs-vsctl',
        '--timeout=20',
        'add-port',
        'br0',
        name,
        '--',
        'set',
        'interface',
        name,
        'type=dummy',
        request,
      );
    }
    stock.run('ovs-ofctl', 'del-flows', 'br0');
    stock.run(
      'ovs-ofctl',
      'add-flow',
      'br0',
      'table=0,priority=1,actions=set_field:7->metadata,resubmit(,1)',
    );
    stock.run('ovs-ofctl', 'add-flow', 'br0', 'table=1,priority=1,ip,actions=resubmit(,2)');
    stock.run('ovs-ofctl', 'add-flow', 'br0', 'table=2,priority=1,actions=output:2');
    stock.run('ovs-appctl', 'upcall/set-flow-limit', String(1_000_000));
    this.#addFlows(count);
    const rest = await this.#pass();
    const changed: number[] = [];
    for (let n = 0; n < 3; n++) {
      stock.run('ovs-ofctl', 'add-flow', 'br0', `table=2,priority=9,tcp,tp_dst=${n + 1},actions=drop`);
      changed.push(await this.#longestPass());
    }
    const flows = Number(/current (\d+)/.exec(this.#show())?.[1]);
    return { rest, changed: changed.sort((a, b) => a - b)[1], flows };
  }

  #addFlows(count: number): void {
    const stock = this.#stock;
    const numbers = stock.run('ovs-appctl', 'dpif/show');
    const [p1, p2] = ['p1', 'p2'].map((name) => new RegExp(`${name} \\d+/(\\d+)`).exec(numbers)?.[1]);
    const lines: string[] = [];
    for (let n = 0; n < count; n++) {
      const dst = [n >> 16, n >> 8, n].map((byte) => (byte & 0xff).toString(16).padStart(2, '0')).join(':');
      lines.push(
        `recirc_id(0),in_port(${p1}),packet_type(ns=0,id=0),eth(src=02:00:00:00:00:01,dst=02:00:00:${dst}),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=9,frag=no),udp(src=0,dst=53) ${p2}`,
      );
    }
    const file = join(stock.dir, 'flows');
    for (let at = 0; at < lines.length; at += CHUNK) {
      writeFileSync(file, `${lines.slice(at, at + CHUNK).join('\n')}\n`);
      stock.run('ovs-appctl', 'dpctl/add-flows', 'dummy@ovs-dummy', file);
      // Its own measure of the passes meanwhile would have all that are there removed.
      stock.run('ovs-appctl', 'upcall/set-flow-limit', String(1_000_000));
    }
  }

  #show(): string {
    return this.#stock.run('ovs-appctl', 'upcall/show');
  }

  #duration(): number {
    return Number(/dump duration : (\d+)ms/.exec(this.#show())?.[1]);
  }

  async #pass(): Promise<number> {
    const all: number[] = [];
    for (let n = 0; n < 7; n++) {
      await sleep(1000);
      all.push(this.#duration());
    }
    return all.sort((a, b) => a - b)[3];
  }

  async #longestPass(): Promise<number> {
    let longest = 0;
    for (let n = 0; n < 40; n++) {
      await sleep(100);
      longest = Math.max(longest, this.#duration());
    }
    return longest;
  }
}
