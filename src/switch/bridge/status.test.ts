import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { Clock } from '../../base/clock.ts';
import { nullLogger } from '../../base/log.ts';
import {
  Database,
  directConnector,
  OvsdbClient,
  openVSwitchSchema,
  parseSchema,
  Server,
} from '../../ovsdb/index.ts';
import { type StatusSource, StatusWriter } from './status.ts';

const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

test('cur_cfg is that of the configuration which was applied, whatever has been asked for since', {
  timeout: 20_000,
}, async () => {
  const server = new Server({ clock, log: nullLogger, newUuid: randomUUID });
  server.addDatabase(new Database(parseSchema(openVSwitchSchema), { newUuid: randomUUID }));
  const client = new OvsdbClient({
    schema: openVSwitchSchema,
    connector: directConnector((channel) => void server.accept(channel, { name: 'test' })),
    clock,
    log: nullLogger,
  });
  client.start();
  try {
    await client.synced();
    const txn = client.transaction();
    txn.insert('Open_vSwitch', { next_cfg: 2 });
    await txn.commit();
    const source: StatusSource & { appliedConfig: number | null } = {
      host: { version: '1', dbVersion: '', systemType: '', systemVersion: '', hostname: '', pid: 1 },
      datapathTypes: [],
      interfaceTypes: [],
      appliedConfig: null,
      bridges: () => [][Symbol.iterator](),
      datapathId: () => 0n,
      failure: () => undefined,
      bfdStatus: () => new Map(),
    };
    const status = new StatusWriter(client, source, clock, nullLogger.module('test'));
    const root = () => client.replica.table('Open_vSwitch').only();
    const turn = () => new Promise((resolve) => setTimeout(resolve, 1));
    while (root() === undefined) await turn();
    /** Writes, and waits until the replica shows that something was written. */
    const write = async (version: string): Promise<void> => {
      Object.assign(source, { host: { ...source.host, version } });
      status.writeControllers();
      while (root()?.ovs_version !== version) await turn();
    };
    await write('1');
    assert.equal(root()?.cur_cfg, 0);
    source.appliedConfig = 1;
    await write('2');
    assert.equal(root()?.cur_cfg, 1);
    source.appliedConfig = 2;
    await write('3');
    assert.equal(root()?.cur_cfg, 2);
  } finally {
    client.close();
  }
});
