/** The probes of `weft doctor`, in the order in which they are told. Everything they make they remove. */
import { spawnSync } from 'node:child_process';
import { release } from 'node:os';
import { WeftError } from '../../base/errors.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { inNewNetns } from '../../sys/netns.ts';
import { TapPort } from '../../sys/tap.ts';
import { open, passFrame, withVeth } from './devices.ts';
import { FAST_PATH_PROBES } from './fast-path-probes.ts';
import { type Probe, ROOT_REMEDY } from './probe.ts';

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
    run: () =>
      withVeth((_links, [a, b]) => {
        const [from, to] = [open('weft0', a), open('weft1', b)];
        try {
          passFrame(from, to);
          return 'a frame passed between mapped rings';
        } finally {
          from.close();
          to.close();
        }
      }),
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
  ...FAST_PATH_PROBES,
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
