import assert from 'node:assert/strict';
import { test } from 'node:test';
import { composePacket } from '../../src/datapath/packet/compose.ts';
import { parseMatch } from '../../src/flow/match-parse.ts';
import { Daemons, stockMissing } from './daemons.ts';
import { Random } from './random.ts';

/*
 * Meters of our switch and of a stock Open vSwitch 3.1: the same bands, packets and pauses. What passes, and what each
 * meter and band counted, must be the same to the packet. WEFT_CONFORMANCE_ROUNDS makes it longer,
 * WEFT_CONFORMANCE_SEED other.
 */
const seed = Number(process.env.WEFT_CONFORMANCE_SEED ?? 20230216);
const rounds = Number(process.env.WEFT_CONFORMANCE_ROUNDS ?? 3);
const METERS = 4;

/** Bands that packets of 60 to 1500 bytes, some milliseconds apart, sometimes exceed. */
function randomMeter(r: Random, number: number): string {
  const unit = r.pick(['pktps', 'kbps']);
  const burst = r.oneIn(2);
  const bands = r.many(1, 3, () => {
    const rate = unit === 'pktps' ? 1 + r.int(300) : 1 + r.int(2000);
    return `type=drop rate=${rate}${burst ? ` burst_size=${1 + r.int(40)}` : ''}`;
  });
  return `meter=${number} ${unit}${burst ? ' burst' : ''}${r.oneIn(2) ? ' stats' : ''} bands=${bands.join(' ')}`;
}

function packet(r: Random, port: number): string {
  const match = `in_port=${port},ip,nw_src=10.0.0.${1 + r.int(3)},nw_dst=10.0.0.9,dl_src=0a:00:00:00:00:01,dl_dst=0a:00:00:00:00:02`;
  const bytes = composePacket(parseMatch(match).flow.slice()) ?? new Uint8Array();
  const padded = Buffer.alloc(60 + r.int(1441));
  padded.set(bytes);
  return padded.toString('hex');
}

test('meters pass, drop and count what those of stock do', { skip: stockMissing() }, async (t) => {
  const sides = [new Daemons('stock'), new Daemons('ours')];
  const random = new Random(seed);
  const ask = (question: (side: Daemons) => string | Promise<string>): Promise<string[]> =>
    Promise.all(sides.map(question));
  const same = async (
    what: string,
    question: (side: Daemons) => string | Promise<string>,
  ): Promise<string> => {
    const [stock, ours] = await ask(question);
    assert.equal(ours, stock, `${what}; seed ${seed}`);
    return stock;
  };
  const ofctl = (...args: string[]) =>
    same(args.join(' '), (side) => {
      const { status, stdout, stderr } = side.run('ovs-ofctl', '-O', 'OpenFlow15', ...args);
      const text = status === 0 ? stdout : (/^OFPT_ERROR.*$|Error .*/m.exec(stderr)?.[0] ?? stderr);
      // Stock lists meters in the order of their hashes.
      return text
        .replace(/ \(xid=\w+\)|duration:[\d.]+s|xid=\w+/g, '')
        .split(/\n(?=meter)/)
        .sort()
        .join('\n')
        .trim();
    });
  let dropped = 0;
  try {
    for (const side of sides) {
      await side.start();
      side.must(
        'ovs-vsctl',
        '--timeout=20',
        'add-br',
        'br0',
        '--',
        'set',
        'Bridge',
        'br0',
        'datapath_type=dummy',
        'fail_mode=secure',
      );
      for (const i of [1, 2]) {
        const iface = [`options:tx_pcap=${side.dir}/p${i}.pcap`, `ofport_request=${i}`];
        side.must(
          'ovs-vsctl',
          '--timeout=20',
          'add-port',
          'br0',
          `p${i}`,
          '--',
          'set',
          'Interface',
          `p${i}`,
          'type=dummy',
          ...iface,
        );
      }
      await side.appctl('time/stop');
    }
    await ofctl('meter-features', 'br0');
    for (let round = 0; round < rounds; round++) {
      for (let i = 1; i <= METERS; i++) {
        await ofctl('add-meter', 'br0', randomMeter(random, i));
        await ofctl('add-flow', 'br0', `in_port=1,ip,nw_src=10.0.0.${i},actions=meter:${i},output:2`);
      }
      for (let n = 0; n < 150; n++) {
        if (random.oneIn(40)) await ofctl('mod-meter', 'br0', randomMeter(random, 1 + random.int(METERS)));
        const pause = random.pick([0, 0, 0, 1, 3, 10, 47, 400, 2500]);
        if (pause > 0) await ask((side) => side.appctl('time/warp', String(pause)));
        const hex = packet(random, 1);
        for (const side of sides) {
          await side.appctl('netdev-dummy/receive', 'p1', hex);
          await side.appctl('version');
        }
      }
      const stats = await ofctl('meter-stats', 'br0');
      for (const [, count] of stats.matchAll(/^\d+: packet_count:(\d+)/gm)) dropped += Number(count);
      await ofctl('dump-meters', 'br0');
      const [stock, ours] = sides.map((side) => side.sent('p2'));
      assert.deepEqual(ours, stock, `what passed; seed ${seed}`);
      await ofctl('add-meter', 'br0', 'meter=9 kbps bands=type=dscp_remark rate=10 prec_level=1');
      await ofctl('add-meter', 'br0', 'meter=1 kbps bands=type=drop rate=10');
      await ofctl('del-meter', 'br0', `meter=${1 + random.int(METERS)}`);
      await ofctl('dump-flows', '--no-stats', 'br0');
      await ofctl('del-meters', 'br0');
    }
  } finally {
    for (const side of sides) side.stop();
  }
  t.diagnostic(`seed ${seed}: ${dropped} packets were dropped`);
  assert.ok(dropped > 0, 'nothing was dropped');
});
