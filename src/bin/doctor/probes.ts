/** The probes of `weft doctor`, in the order in which they are told. Everything they make they remove. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { WeftError } from '../../base/errors.ts';
import {
  ATTACH,
  createLink,
  createMap,
  loadProgram,
  MAP_TYPE,
  PROGRAM_TYPE,
  pin,
  testRun,
} from '../../sys/bpf.ts';
import { NO_OFFLOAD, RxFrame } from '../../sys/frame.ts';
import { close } from '../../sys/libc.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { inNewNetns } from '../../sys/netns.ts';
import { PacketPort } from '../../sys/packet-port.ts';
import { POLLIN, PollSet } from '../../sys/poll.ts';
import { TapPort } from '../../sys/tap.ts';
import { type Probe, ROOT_REMEDY } from './probe.ts';

const BPF_REMEDY = 'needs root (CAP_BPF, CAP_NET_ADMIN) and a kernel of 6.6 or newer with CONFIG_BPF_SYSCALL';

/** Two instructions: r0 = `verdict`; exit. */
const returning = (verdict: number): Uint8Array =>
  Uint8Array.of(0xb7, 0, 0, 0, verdict & 0xff, (verdict >> 8) & 0xff, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);
const TC_ACT_OK = 0;
const XDP_PASS = 2;

/** Runs `work` in a namespace of its own with a pair of veth devices that are up. */
function withVeth<T>(work: (links: Links, ifindexes: [number, number]) => T): T {
  return inNewNetns(() => {
    const netlink = new NetlinkSocket();
    try {
      const links = new Links(netlink);
      links.createVeth('weft0', 'weft1', { up: true }, { up: true });
      return work(links, [links.get('weft0')!.ifindex, links.get('weft1')!.ifindex]);
    } finally {
      netlink.close();
    }
  });
}

function withProgram<T>(
  type: number,
  verdict: number,
  expectedAttachType: number,
  work: (fd: number) => T,
): T {
  const fd = loadProgram({ type, name: 'weft_doctor', instructions: returning(verdict), expectedAttachType });
  try {
    return work(fd);
  } finally {
    close(fd);
  }
}

function passFrame(): string {
  return withVeth((_links, ifindexes) => {
    const [a, b] = ifindexes.map(
      (ifindex, i) => new PacketPort({ name: `weft${i}`, ifindex, rxSlots: 64, txSlots: 64 }),
    );
    const poll = new PollSet(1);
    try {
      // An experimental EtherType (IEEE 802), so that no other frame is taken for ours.
      const sent = new Uint8Array(60).fill(0x5a).fill(0xff, 0, 6);
      sent.set([0x88, 0xb5], 12);
      a.send(sent, 0, sent.length, NO_OFFLOAD);
      a.flush();
      poll.set(0, b.fd, POLLIN);
      const frame = new RxFrame();
      for (let tries = 0; tries < 20; tries++) {
        while (b.receive(frame)) {
          const same = sent.every((byte, i) => byte === frame.bytes[frame.start + i]);
          b.release();
          if (same) return 'a frame passed between mapped rings';
        }
        poll.wait(50);
      }
      throw new WeftError('no-frame', 'the frame that was sent never came');
    } finally {
      poll.close();
      a.close();
      b.close();
    }
  });
}

function attach(type: number, verdict: number, at: number): void {
  withVeth((_links, [ifindex]) =>
    withProgram(type, verdict, at, (fd) => void close(createLink(fd, ifindex, at))),
  );
}

function createDevice(kind: string, data: Parameters<Links['create']>[3]): string {
  return inNewNetns(() => {
    const netlink = new NetlinkSocket();
    try {
      new Links(netlink).create(kind, 'weft0', {}, data);
      return 'made and removed';
    } finally {
      netlink.close();
    }
  });
}

/** The first line that a program prints about itself. */
function versionOf(program: string, flag: string): string {
  const done = spawnSync(program, [flag], { encoding: 'utf8', timeout: 5000 });
  if (done.error !== undefined) throw new WeftError('no-program', `not found in PATH`);
  return (
    `${done.stdout}${done.stderr}`
      .split('\n')
      .find((l) => l.trim() !== '')
      ?.trim() ?? 'found'
  );
}

const tool = (name: string, pkg: string, flag = '--version'): Probe => ({
  name,
  group: 'peers',
  remedy: `install it: apt-get install ${pkg} (or "sh scripts/setup.sh --peers" for all of them)`,
  run: () => versionOf(name, flag),
});

export const PROBES: readonly Probe[] = [
  {
    name: 'Node',
    group: 'switch',
    remedy: 'run "sh scripts/setup.sh": it installs one beside Weft',
    run() {
      const [major, minor] = process.versions.node.split('.').map(Number);
      if (major < 22 || (major === 22 && minor < 18))
        throw new WeftError('old-node', `${process.versions.node} is older than 22.18`);
      return `${process.versions.node}, kernel ${release()}`;
    },
  },
  {
    name: 'root',
    group: 'switch',
    remedy: ROOT_REMEDY,
    run() {
      const uid = process.geteuid?.();
      if (uid !== 0) throw new WeftError('no-root', `running as user ${uid}`);
      return 'user 0';
    },
  },
  {
    name: 'network namespaces',
    group: 'switch',
    remedy: ROOT_REMEDY,
    run: () => inNewNetns(() => 'made and left one'),
  },
  {
    name: 'veth devices',
    group: 'switch',
    remedy: `${ROOT_REMEDY}; the kernel needs CONFIG_VETH (module "veth")`,
    run: () => withVeth(() => 'made a pair'),
  },
  {
    name: 'packet sockets',
    group: 'switch',
    remedy: `${ROOT_REMEDY}; the kernel needs CONFIG_PACKET`,
    run: passFrame,
  },
  {
    name: 'tap devices',
    group: 'switch',
    remedy: 'load the module "tun" (modprobe tun), and let the container use /dev/net/tun',
    run: () =>
      inNewNetns(() => {
        new TapPort({ name: 'weft0' }).close();
        return 'made one, with segmentation offload';
      }),
  },
  {
    name: 'BPF programs',
    group: 'fast path',
    remedy: BPF_REMEDY,
    run: () =>
      withProgram(PROGRAM_TYPE.schedCls, 7, 0, (fd) => {
        const verdict = testRun(fd, new Uint8Array(64));
        if (verdict !== 7) throw new WeftError('bpf-verdict', `the program returned ${verdict}, not 7`);
        return 'loaded one and ran it';
      }),
  },
  {
    name: 'BPF ring buffer',
    group: 'fast path',
    remedy: BPF_REMEDY,
    run() {
      close(
        createMap({
          type: MAP_TYPE.ringBuffer,
          name: 'weft_doctor',
          keySize: 0,
          valueSize: 0,
          maxEntries: 1 << 20,
        }),
      );
      return 'made one of 1 MB';
    },
  },
  {
    name: 'memory for BPF maps',
    group: 'fast path',
    remedy: 'raise the limit of locked memory: ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)',
    run() {
      close(
        createMap({
          type: MAP_TYPE.array,
          name: 'weft_doctor',
          keySize: 4,
          valueSize: 64,
          maxEntries: 1 << 20,
        }),
      );
      const limit = /^Max locked memory\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
      return `made a map of 64 MB; the limit of locked memory is ${limit === 'unlimited' ? limit : `${Number(limit) >> 20} MB`}`;
    },
  },
  {
    name: 'tcx',
    group: 'fast path',
    remedy: 'needs a kernel of 6.6 or newer with CONFIG_NET_XGRESS; without it the userspace datapath serves',
    run() {
      attach(PROGRAM_TYPE.schedCls, TC_ACT_OK, ATTACH.tcxIngress);
      return 'attached a program to a device';
    },
  },
  {
    name: 'XDP',
    group: 'fast path',
    remedy: 'needs a kernel with CONFIG_NET and a driver that takes XDP programs',
    run() {
      attach(PROGRAM_TYPE.xdp, XDP_PASS, ATTACH.xdp);
      return 'attached a program to a device';
    },
  },
  {
    name: 'BPF file system',
    group: 'fast path',
    remedy: 'mount it: mount -t bpf bpf /sys/fs/bpf; without it a restart interrupts the traffic',
    run() {
      const path = `/sys/fs/bpf/weft-doctor-${randomBytes(4).toString('hex')}`;
      withProgram(PROGRAM_TYPE.schedCls, TC_ACT_OK, 0, (fd) => pin(fd, path));
      rmSync(path);
      return 'pinned a program in /sys/fs/bpf';
    },
  },
  {
    name: 'kernel types (BTF)',
    group: 'fast path',
    remedy: 'needs a kernel with CONFIG_DEBUG_INFO_BTF; connection tracking in the fast path uses it',
    run() {
      const path = '/sys/kernel/btf/vmlinux';
      let fd: number;
      try {
        fd = openSync(path, 'r');
      } catch (cause) {
        throw new WeftError('no-btf', `${path} cannot be read: ${(cause as Error).message}`, { cause });
      }
      try {
        const magic = new Uint8Array(2);
        readSync(fd, magic, 0, 2, 0);
        if (magic[0] !== 0x9f || magic[1] !== 0xeb)
          throw new WeftError('no-btf', `${path} does not start as BTF does`);
      } finally {
        closeSync(fd);
      }
      return path;
    },
  },
  {
    name: 'vxlan devices',
    group: 'tunnels',
    remedy: 'load the module "vxlan" (modprobe vxlan), or use a kernel with CONFIG_VXLAN',
    // IFLA_VXLAN_COLLECT_METADATA: no tunnel key of its own.
    run: () => createDevice('vxlan', (data) => void data.u8(25, 1)),
  },
  {
    name: 'geneve devices',
    group: 'tunnels',
    remedy: 'load the module "geneve" (modprobe geneve), or use a kernel with CONFIG_GENEVE',
    // IFLA_GENEVE_COLLECT_METADATA.
    run: () => createDevice('geneve', (data) => void data.attribute(6, new Uint8Array(0))),
  },
  tool('ovs-vsctl', 'openvswitch-switch'),
  tool('ovs-ofctl', 'openvswitch-switch'),
  tool('ovs-appctl', 'openvswitch-switch'),
  tool('ovsdb-client', 'openvswitch-switch'),
  tool('ovsdb-tool', 'openvswitch-switch'),
  tool('ip', 'iproute2', '-V'),
  tool('ping', 'iputils-ping', '-V'),
  tool('iperf3', 'iperf3'),
  tool('tshark', 'tshark'),
  tool('tcpdump', 'tcpdump'),
  tool('ethtool', 'ethtool'),
];
