/** How `weft switch` ends: what stays in the kernel, and what goes. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { mountBpfFs, unmountBpfFs } from '../../src/sys/bpf-fs.ts';
import { Network } from '../network.ts';
import { ROOT, systemMissing, until } from './host.ts';

interface World {
  readonly network: Network;
  readonly ns: string;
  readonly child: ChildProcess;
  readonly log: () => string;
  readonly pinned: () => string[];
  readonly end: (signal: NodeJS.Signals) => Promise<void>;
}

/** A switch in the foreground with a bridge and a port, over a bpf file system of its own. */
function onSwitch(title: string, body: (world: World) => Promise<void>): void {
  test(title, { skip: systemMissing() }, async () => {
    const network = new Network();
    const dir = mkdtempSync(join(tmpdir(), 'weft-signals-'));
    const bpf = mkdtempSync(join(tmpdir(), 'weft-bpf-'));
    mountBpfFs(bpf);
    try {
      const ns = network.namespace('host');
      network.ip(ns, 'link', 'add', 'p1', 'type', 'veth', 'peer', 'name', 'p2');
      const env = { OVS_RUNDIR: dir, WEFT_BPFFS: bpf };
      const child = network.start(ns, join(ROOT, 'bin/weft'), ['switch', '--dir', dir, '-vsyslog:off'], env);
      let log = '';
      child.stderr!.on('data', (text: Buffer) => {
        log += text.toString();
      });
      await until('the switch is ready', () => log.includes('|ready: ') || child.exitCode !== null);
      const vsctl = ['--timeout=20', 'add-br', 'br0', '--', 'add-port', 'br0', 'p1'];
      const { status, stderr } = await network.run(ns, 'ovs-vsctl', vsctl, env);
      assert.equal(status, 0, `${stderr}${log}`);
      await body({
        network,
        ns,
        child,
        log: () => log,
        // The kernel has two files of its own in every bpf file system.
        pinned: () => readdirSync(bpf).filter((name) => !name.endsWith('.debug')),
        async end(signal) {
          child.kill(signal);
          await until('the switch is gone', () => child.exitCode !== null || child.signalCode !== null);
        },
      });
    } finally {
      network.close();
      unmountBpfFs(bpf);
      rmdirSync(bpf);
      rmSync(dir, { recursive: true, force: true });
    }
  });
}

const devices = ({ network, ns }: World): string => network.ip(ns, '-br', 'link');

onSwitch('Ctrl-C in the foreground takes along devices and pins', async (world) => {
  assert.match(world.log(), /\|dpif_kernel\|INFO\|ovs-system: forwarding in /);
  assert.match(devices(world), /^br0@/m);
  await world.end('SIGINT');
  assert.deepEqual(world.pinned(), []);
  assert.doesNotMatch(devices(world), /^(br0|weft-)/m);
});

onSwitch('after SIGTERM the kernel goes on', async (world) => {
  assert.equal(world.pinned().length, 1);
  await world.end('SIGTERM');
  assert.equal(world.pinned().length, 1);
  assert.match(devices(world), /^br0@/m);
});
