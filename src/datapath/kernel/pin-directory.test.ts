/** What switches leave pinned, over a bpf file system of the test's own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { nullLogger } from '../../base/log.ts';
import { BpfLink } from '../../ebpf/link.ts';
import { needsRoot } from '../../ebpf/testing/programs.ts';
import { newFlow, W_IN_PORT } from '../../flow/layout.ts';
import { mountBpfFs, unmountBpfFs } from '../../sys/bpf-fs.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { createNetns, inNetns, namespaceNumber, netnsPath, removeNetns } from '../../sys/netns.ts';
import { createKernelDatapath, type KernelDatapath } from './kernel-datapath.ts';
import { removeLeftOvers, removePinsOf } from './pin-directory.ts';

const clock = { now: () => performance.now(), wall: () => 0, after: () => ({ cancel() {} }) };
const SMALL = { clock, random: Math.random, log: nullLogger, rings: 1, ringBytes: 4096, maxFlows: 64 };
const TRIES = 500;

class World {
  readonly root = mkdtempSync(join(tmpdir(), 'weft-bpf-'));
  readonly netns = `weft${randomBytes(3).toString('hex')}-pins`;

  constructor() {
    mountBpfFs(this.root);
    createNetns(this.netns);
    inNetns(this.netns, () => {
      const netlink = new NetlinkSocket();
      new Links(netlink).createVeth('weft0', 'weft1', { up: true }, { up: true });
      netlink.close();
    });
  }

  /** A datapath with one port, at the device of the namespace. */
  open(): KernelDatapath {
    const datapath = this.start();
    datapath.takeOver?.(() => null);
    return datapath;
  }

  /** The same, before it takes over. */
  start(): KernelDatapath {
    const datapath = createKernelDatapath({ ...SMALL, netns: netnsPath(this.netns), pinRoot: this.root });
    datapath.portAdd({ name: 'weft0', type: 'system' });
    return datapath;
  }

  /** Of the devices with a pinned link. */
  get links(): string[] {
    return readdirSync(this.#linksAt);
  }

  /** One of them. */
  link(): BpfLink {
    return BpfLink.open(join(this.#linksAt, this.links[0]!));
  }

  get #linksAt(): string {
    return join(this.root, this.directories[0]!, 'links');
  }

  removeDevice(): void {
    inNetns(this.netns, () => execFileSync('ip', ['link', 'delete', 'weft0']));
  }

  get number(): number {
    return namespaceNumber(this.netns) ?? assert.fail('the namespace is gone');
  }

  /** What is pinned; the kernel has two files of its own in every bpf file system. */
  get directories(): string[] {
    return readdirSync(this.root).filter((name) => !name.endsWith('.debug'));
  }

  close(): void {
    removeNetns(this.netns);
    unmountBpfFs(this.root);
    rmdirSync(this.root);
  }
}

const withWorld = (work: (world: World) => Promise<void>) => async (): Promise<void> => {
  const world = new World();
  try {
    await work(world);
  } finally {
    world.close();
  }
};

test(
  'what is pinned for a namespace is removed when that is gone, and not before',
  { skip: needsRoot },
  withWorld(async (world) => {
    const datapath = world.open();
    assert.equal(world.directories.length, 1);
    await datapath.leave?.();
    assert.deepEqual(removeLeftOvers(world.root), []);
    assert.equal(world.directories.length, 1);
    removeNetns(world.netns);
    // Its devices go when the kernel gets round to it.
    let removed: string[] = [];
    for (let tries = 0; removed.length === 0 && tries < TRIES; tries++) {
      removed = removeLeftOvers(world.root);
      await sleep(10);
    }
    assert.equal(removed.length, 1);
    assert.deepEqual(world.directories, []);
  }),
);

test(
  'a process that lives keeps its directory, whatever became of its ports',
  { skip: needsRoot },
  withWorld(async (world) => {
    const datapath = world.open();
    try {
      world.removeDevice();
      assert.deepEqual(removeLeftOvers(world.root), []);
      assert.deepEqual(removePinsOf(world.root, world.number), []);
      assert.equal(world.directories.length, 1);
    } finally {
      await datapath.close();
    }
    assert.deepEqual(world.directories, []);
  }),
);

test(
  'a port that is deleted ends at its device, pinned or inherited',
  { skip: needsRoot },
  withWorld(async (world) => {
    for (const inherited of [false, true]) {
      const datapath = inherited ? world.start() : world.open();
      const link = world.link();
      try {
        assert.equal(link.attached, true);
        const [, port] = datapath.ports();
        datapath.portDelete(port!.port);
        assert.equal(link.attached, false);
        assert.deepEqual(world.links, []);
        datapath.takeOver?.(() => null);
        // Its device is free for another.
        datapath.portAdd({ name: 'weft0', type: 'system' });
        assert.equal(world.links.length, 1);
      } finally {
        link.close();
        if (inherited) await datapath.close();
        else await datapath.leave?.();
      }
    }
    assert.deepEqual(world.directories, []);
  }),
);

test(
  'a device that goes before the takeover does not hold that up',
  { skip: needsRoot },
  withWorld(async (world) => {
    await world.open().leave?.();
    const datapath = world.start();
    try {
      world.removeDevice();
      datapath.takeOver?.(() => null);
      const [, port] = datapath.ports();
      datapath.portDelete(port!.port);
      assert.deepEqual(world.links, []);
    } finally {
      await datapath.close();
    }
    assert.deepEqual(world.directories, []);
  }),
);

test(
  'a device is one port, whatever it is called meanwhile',
  { skip: needsRoot },
  withWorld(async (world) => {
    const datapath = world.open();
    try {
      inNetns(world.netns, () => execFileSync('ip', ['link', 'set', 'weft0', 'down', 'name', 'weft9']));
      assert.throws(() => datapath.portAdd({ name: 'weft9', type: 'system' }), { code: 'port-exists' });
      assert.equal(world.link().attached, true);
    } finally {
      await datapath.close();
    }
  }),
);

test(
  'two processes do not share a directory: the second pins nothing, and leaves the first in peace',
  { skip: needsRoot },
  withWorld(async (world) => {
    const first = world.open();
    const second = createKernelDatapath({ ...SMALL, netns: netnsPath(world.netns), pinRoot: world.root });
    await second.close();
    assert.equal(world.directories.length, 1);
    await first.leave?.();
    const third = world.open();
    await third.close();
    assert.deepEqual(world.directories, []);
  }),
);

test(
  'a process that dies before it takes over hides nothing of the one before',
  { skip: needsRoot },
  withWorld(async (world) => {
    const first = world.open();
    const mask = newFlow();
    mask[W_IN_PORT] = 0xffff_ffff;
    const key = newFlow();
    key[W_IN_PORT] = first.ports()[1]!.port;
    first.flowPut({ key, mask, actions: [] });
    await first.flush();
    await first.leave?.();
    await world.start().leave?.();
    const third = world.start();
    const adopted: number[] = [];
    try {
      third.takeOver?.((found) => {
        adopted.push(found[W_IN_PORT]!);
        return null;
      });
      assert.deepEqual(adopted, [third.ports()[1]!.port]);
    } finally {
      await third.close();
    }
    assert.deepEqual(world.directories, []);
  }),
);

test(
  'what a version with another layout left for the same datapath goes at the takeover',
  { skip: needsRoot },
  withWorld(async (world) => {
    mkdirSync(join(world.root, `weft0-ovs-system-${world.number}`, 'links'), { recursive: true });
    mkdirSync(join(world.root, `weft0-other-${world.number}`));
    const datapath = world.open();
    try {
      assert.deepEqual(world.directories.sort(), [
        `weft0-other-${world.number}`,
        `weft1-ovs-system-${world.number}`,
      ]);
    } finally {
      await datapath.close();
    }
  }),
);

test(
  'a second switch of a namespace does not take internal devices of the first',
  { skip: needsRoot },
  withWorld(async (world) => {
    const first = world.open();
    first.portAdd({ name: 'weft7', type: 'internal' });
    const second = createKernelDatapath({ ...SMALL, netns: netnsPath(world.netns), pinRoot: world.root });
    try {
      assert.throws(() => second.portAdd({ name: 'weft7', type: 'internal' }), { code: 'device-busy' });
    } finally {
      await second.close();
      await first.close();
    }
  }),
);

test(
  'the pins of one namespace go, those of others and strange files stay',
  { skip: needsRoot },
  withWorld(async (world) => {
    const datapath = world.open();
    await datapath.leave?.();
    mkdirSync(join(world.root, 'weft1-ovs-system-1'));
    mkdirSync(join(world.root, 'blue'));
    assert.equal(removePinsOf(world.root, world.number).length, 1);
    assert.deepEqual(world.directories.sort(), ['blue', 'weft1-ovs-system-1']);
    assert.deepEqual(removeLeftOvers(world.root), []);
  }),
);
