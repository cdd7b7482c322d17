import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { nullLogger } from '../../base/log.ts';
import {
  Database,
  directConnector,
  OvsdbClient,
  openVSwitchSchema,
  parseSchema,
  Server,
} from '../../ovsdb/index.ts';
import { ManualClock, settled } from '../../ovsdb/testing/clock.ts';
import { BridgeKeeper } from './bridge-keeper.ts';

const TO_B = { node: 'b', encapsulation: 'geneve', address: '192.0.2.2' } as const;
const TO_C = { node: 'c', encapsulation: 'gre', address: '2001:db8::3' } as const;

/** A database without a switch: the test says which OpenFlow ports there are. */
async function scene(encapIp?: string) {
  const clock = new ManualClock();
  const server = new Server({ clock, log: nullLogger, newUuid: randomUUID });
  server.addDatabase(new Database(parseSchema(openVSwitchSchema), { newUuid: randomUUID }));
  const open = () =>
    new OvsdbClient({
      schema: openVSwitchSchema,
      connector: directConnector((channel) => void server.accept(channel, { name: 'test' })),
      clock,
      log: nullLogger,
    });
  const [client, other] = [open(), open()];
  client.start();
  other.start();
  await Promise.all([client.synced(), other.synced()]);
  const change = async (work: (txn: ReturnType<typeof other.transaction>) => void): Promise<void> => {
    const txn = other.transaction();
    work(txn);
    const outcome = await txn.commit();
    assert.ok(outcome.status === 'success' || outcome.status === 'unchanged', JSON.stringify(outcome));
    await rest();
  };
  const rest = async (): Promise<void> => {
    for (let i = 0; i < 6; i++) await settled();
  };
  await change((txn) => void txn.insert('Open_vSwitch', {}));
  const keeper = new BridgeKeeper({
    client,
    clock,
    log: nullLogger.module('agent'),
    bridge: 'br-int',
    datapathType: 'dummy',
    encapIp,
    newSystemId: () => 'host-1',
    onChange: () => {},
  });
  keeper.start();
  await rest();
  const table = <T extends 'Bridge' | 'Port' | 'Interface'>(name: T) => [...other.replica.table(name).rows()];
  const interfaces = () => new Map(table('Interface').map((i) => [i.name, i]));
  const bridge = () => table('Bridge')[0];
  const addPort = (name: string, externalIds: Record<string, string>, ofport?: number) =>
    change((txn) => {
      const ids = new Map(Object.entries(externalIds));
      const iface = txn.insert('Interface', {
        name,
        external_ids: ids,
        ...(ofport === undefined ? {} : { ofport }),
      });
      const port = txn.insert('Port', { name, interfaces: [iface] });
      txn.mutate('Bridge', bridge()._uuid, 'ports', 'insert', [port]);
    });
  return { keeper, other, change, rest, table, interfaces, bridge, addPort };
}

test('the bridge and the name of the host are made where they are missing, and kept as they must be', async () => {
  const { keeper, change, bridge, other } = await scene();
  assert.equal(keeper.systemId, 'host-1');
  assert.equal(other.replica.table('Open_vSwitch').only()?.external_ids.get('system-id'), 'host-1');
  assert.deepEqual(
    [bridge().name, bridge().fail_mode, bridge().datapath_type],
    ['br-int', 'secure', 'dummy'],
  );
  await change((txn) =>
    txn.update('Bridge', bridge()._uuid, {
      fail_mode: 'standalone',
      protocols: ['OpenFlow13'],
      other_config: new Map(),
    }),
  );
  assert.equal(bridge().fail_mode, 'secure');
  assert.deepEqual([...bridge().protocols].sort(), ['OpenFlow13', 'OpenFlow15']);
  assert.equal(bridge().other_config.get('disable-in-band'), 'true');
});

test('tunnels are made, mended when they are bent, and taken away only when nothing uses them any more', async () => {
  const { keeper, change, rest, interfaces } = await scene('192.0.2.1');
  keeper.want([TO_B, TO_C]);
  await rest();
  const [b, c] = [interfaces().get('weft-t1'), interfaces().get('weft-t2')];
  assert.ok(b !== undefined && c !== undefined);
  assert.deepEqual(
    [b.type, b.options.get('remote_ip'), b.options.get('key')],
    ['geneve', '192.0.2.2', 'flow'],
  );
  // The host's own address goes only where it is of the same family.
  assert.deepEqual([b.options.get('local_ip'), c.options.get('local_ip')], ['192.0.2.1', undefined]);
  assert.equal(keeper.settled, false);
  await change((txn) => {
    txn.update('Interface', b._uuid, { ofport: 7 });
    txn.update('Interface', c._uuid, { ofport: -1, error: 'no such thing' });
  });
  assert.equal(keeper.settled, true);
  assert.deepEqual(keeper.tunnels(), [{ ...TO_B, ofport: 7 }]);
  assert.deepEqual(keeper.brokenTunnels(), [{ tunnel: TO_C, error: 'no such thing' }]);

  await change((txn) => txn.update('Interface', b._uuid, { options: new Map([['remote_ip', '192.0.2.9']]) }));
  const mended = [...interfaces().values()].filter((i) => i.options.get('remote_ip') === '192.0.2.2');
  assert.equal(mended.length, 1);

  keeper.want([TO_C]);
  await rest();
  assert.equal(
    [...interfaces().values()].some((i) => i.options.get('remote_ip') === '192.0.2.2'),
    true,
  );
  keeper.prune();
  await rest();
  const left = [...interfaces().values()].flatMap((i) => i.options.get('remote_ip') ?? []);
  assert.deepEqual(left, ['2001:db8::3']);
});

test('what does not carry our mark is not touched, and names that are taken are not used', async () => {
  const { keeper, rest, interfaces, addPort } = await scene();
  await addPort('weft-t1', {});
  keeper.want([TO_B]);
  await rest();
  keeper.prune();
  await rest();
  assert.deepEqual([...interfaces().keys()].sort(), ['br-int', 'weft-t1', 'weft-t2']);
  assert.equal(interfaces().get('weft-t1')?.type, '');
  keeper.want([]);
  keeper.prune();
  await rest();
  assert.deepEqual([...interfaces().keys()].sort(), ['br-int', 'weft-t1']);
});

test('VIFs are told with what the database says of them, and marked when their flows are in', async () => {
  const { keeper, rest, interfaces, addPort } = await scene();
  await addPort('p1', { 'iface-id': 'vm1', 'attached-mac': '02:00:00:00:00:01' }, 3);
  await addPort('p2', { 'iface-id': 'vm2', 'iface-status': 'inactive' });
  await addPort('p3', {}, 4);
  assert.deepEqual(keeper.vifs(), [
    { vif: 'vm1', name: 'p1', active: true, mac: '02:00:00:00:00:01', ofport: 3 },
    { vif: 'vm2', name: 'p2', active: false, ofport: 0 },
  ]);
  const marked = () =>
    [...interfaces().values()]
      .filter((i) => i.external_ids.get('weft-installed') === 'true')
      .map((i) => i.name);
  keeper.markInstalled(new Set(['p1']));
  await rest();
  assert.deepEqual(marked(), ['p1']);
  keeper.markInstalled(new Set());
  await rest();
  assert.deepEqual(marked(), []);
});
