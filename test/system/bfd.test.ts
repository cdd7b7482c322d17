/** BFD with a neighbor that is not ours: Open vSwitch's own daemons, with a wire between that can be cut. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Network } from '../network.ts';
import { SwitchHost, systemMissing, until } from './host.ts';

const FAST = ['bfd:enable=true', 'bfd:min_tx=100', 'bfd:min_rx=200'];

const stateOf = (host: SwitchHost, port: string): Promise<string> =>
  host.get('interface', port, 'bfd_status:state');
const diagnosticOf = (host: SwitchHost, port: string): Promise<string> =>
  host.get('interface', port, 'bfd_status:diagnostic');

/** What bfd/show says, but for the numbers, which differ from moment to moment and between two ends. */
const words = (text: string): string => text.replace(/0x[0-9a-f]+|[+-]?\d+/g, 'N');

test('a session with Open vSwitch comes up, follows changes, notices a cut and heals', {
  skip: systemMissing('ovs-vswitchd'),
}, async () => {
  const network = new Network();
  const ours = new SwitchHost(network);
  const theirs = new SwitchHost(network, [], { name: 'theirs', stock: true });
  try {
    const wire = network.namespace('wire');
    network.ip(wire, 'link', 'add', 'hub', 'type', 'bridge');
    network.ip(wire, 'link', 'set', 'hub', 'up');
    const hosts = [ours, theirs];
    for (const [i, host] of hosts.entries()) {
      network.veth(wire, `end${i}`, host.ns, 'b0', `02:00:00:00:00:0${i + 1}`);
      network.ip(wire, 'link', 'set', `end${i}`, 'master', 'hub');
      await host.start();
      const bridge = ['add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev'];
      await host.vsctl(...bridge, '--', 'add-port', 'br0', 'b0', '--', 'set', 'interface', 'b0', ...FAST);
    }
    const bothAre = async (state: string): Promise<void> => {
      for (const host of hosts) {
        await until(`${host === ours ? 'ours' : 'theirs'} is ${state}`, async () => {
          return (await stateOf(host, 'b0')) === state;
        });
      }
    };
    await bothAre('up');
    assert.equal(await ours.get('interface', 'b0', 'bfd_status:forwarding'), '"true"');
    assert.match(await ours.ofctl('-O', 'OpenFlow13', 'show', 'br0'), /1\(b0\):[\s\S]*?state: +LIVE/);

    // A poll sequence in each direction, and then the same words about it.
    for (const [i, host] of hosts.entries()) {
      await host.vsctl('set', 'interface', 'b0', `bfd:min_tx=${300 + i}`, `bfd:mult=${4 + i}`);
    }
    await until('both know of the new intervals', async () => {
      const [mine, yours] = [await ours.appctl('bfd/show', 'b0'), await theirs.appctl('bfd/show', 'b0')];
      return (
        mine.includes('Remote Minimum TX Interval: 301ms') &&
        mine.includes('Remote Detect Multiplier: 5') &&
        mine.includes('TX Interval: Approx 300ms') &&
        yours.includes('Remote Minimum TX Interval: 300ms') &&
        [mine, yours].every((text) => /Local Flags: none[\s\S]*Remote Flags: none/.test(text)) &&
        words(mine) === words(yours)
      );
    });

    // Their path behind is down: the session stays, the port doesn't forward.
    await theirs.vsctl('set', 'interface', 'b0', 'bfd:cpath_down=true');
    await until('we hear of it', async () => {
      return (await ours.get('interface', 'b0', 'bfd_status:forwarding')) === '"false"';
    });
    assert.equal(await stateOf(ours, 'b0'), 'up');
    await theirs.vsctl('set', 'interface', 'b0', 'bfd:cpath_down=false');

    network.ip(wire, 'link', 'set', 'end1', 'nomaster');
    await bothAre('down');
    assert.equal(await diagnosticOf(ours, 'b0'), '"Control Detection Time Expired"');
    assert.equal(await ours.get('interface', 'b0', 'link_state'), 'up');
    assert.match(await ours.ofctl('-O', 'OpenFlow13', 'show', 'br0'), /1\(b0\):[\s\S]*?state: +0/);

    network.ip(wire, 'link', 'set', 'end1', 'master', 'hub');
    await bothAre('up');
    // It is not the bridge's traffic: their station is unknown there.
    const theirMac = (await theirs.get('interface', 'b0', 'mac_in_use')).replaceAll('"', '');
    assert.match(theirMac, /^[0-9a-f:]{17}$/);
    assert.ok(!(await ours.appctl('fdb/show', 'br0')).includes(theirMac));
  } catch (error) {
    if (error instanceof Error) error.message += `\n--- ${ours.lastWords()}\n--- ${theirs.lastWords()}`;
    throw error;
  } finally {
    ours.close();
    theirs.close();
    network.close();
  }
});
