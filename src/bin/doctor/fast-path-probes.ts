/** What the datapath in the kernel needs, thing by thing, and the datapath itself. */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { WeftError } from '../../base/errors.ts';
import { nullLogger } from '../../base/log.ts';
import { createKernelDatapath } from '../../datapath/kernel/kernel-datapath.ts';
import { call, exit, func, ldFunction, mov, R0, R1, R2, R3, R4 } from '../../ebpf/asm.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code } from '../../ebpf/instruction.ts';
import { attachClassifier, BpfLink } from '../../ebpf/link.ts';
import { Program, type ProgramKind, unpin } from '../../ebpf/program.ts';
import { createMap, MAP_TYPE } from '../../sys/bpf.ts';
import { BPF_FS } from '../../sys/bpf-fs.ts';
import { close } from '../../sys/libc.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { createNetns, inNetns, netnsPath, removeNetns } from '../../sys/netns.ts';
import { DaemonClock } from '../daemon/clock.ts';
import { passFrame, withTwoGuests, withVeth } from './devices.ts';
import type { Probe } from './probe.ts';

const BPF_REMEDY = 'needs root (CAP_BPF, CAP_NET_ADMIN) and a kernel of 6.6 or newer with CONFIG_BPF_SYSCALL';
const TC_ACT_OK = 0;
const XDP_PASS = 2;
/** What the trial program answers, so that nothing else is taken for it. */
const VERDICT = 7;
const TURNS = 5;

function withProgram<T>(kind: ProgramKind, code: Code, work: (program: Program) => T): T {
  const program = Program.load({ kind, name: 'weft_doctor', code, describe: true });
  try {
    return work(program);
  } finally {
    program.close();
  }
}

const returning = (verdict: number): Code => [mov(R0, verdict), exit()];

/** Runs a program on a frame of zeros. */
function expectVerdict(program: Program, expected: number): void {
  const { verdict } = program.run({ packet: new Uint8Array(64) });
  if (verdict !== expected)
    throw new WeftError('bpf-verdict', `the program returned ${verdict}, not ${expected}`);
}

export const FAST_PATH_PROBES: readonly Probe[] = [
  {
    name: 'BPF programs',
    group: 'fast path',
    remedy: BPF_REMEDY,
    run: () =>
      withProgram('classifier', returning(VERDICT), (program) => {
        expectVerdict(program, VERDICT);
        return 'loaded one and ran it';
      }),
  },
  {
    name: 'BPF loops',
    group: 'fast path',
    remedy: 'needs a kernel of 5.17 or newer (bpf_loop) with CONFIG_DEBUG_INFO_BTF',
    run() {
      const code = [
        mov(R1, TURNS),
        ldFunction(R2, 'turn'),
        mov(R3, 0),
        mov(R4, 0),
        call(helper.loop),
        exit(),
        func('turn', [mov(R0, 0), exit()]),
      ];
      return withProgram('classifier', code, (program) => {
        expectVerdict(program, TURNS);
        return `made ${TURNS} turns`;
      });
    },
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
    name: 'programs at devices',
    group: 'fast path',
    remedy:
      'needs a kernel of 6.6 or newer with CONFIG_NET_XGRESS (tcx), or one with CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS',
    run: () =>
      withVeth((_links, [ifindex]) =>
        withProgram('classifier', returning(TC_ACT_OK), (program) => {
          const attachment = attachClassifier(program, ifindex, 'ingress');
          const { kind } = attachment;
          attachment.detach();
          return kind === 'tcx' ? 'by tcx' : 'by cls_bpf, as there is no tcx: restarts interrupt the traffic';
        }),
      ),
  },
  {
    name: 'the short way to guests',
    group: 'fast path',
    remedy: 'needs a kernel of 5.10 or newer (bpf_redirect_peer) and veth devices',
    run: () =>
      withTwoGuests(({ near, far, nearPort, farPort }) => {
        const code = [mov(R1, farPort), mov(R2, 0), call(helper.redirectPeer), exit()];
        return withProgram('classifier', code, (program) => {
          const attachment = attachClassifier(program, nearPort, 'ingress');
          passFrame(near, far);
          attachment.detach();
          return 'a frame went from guest to guest by bpf_redirect_peer';
        });
      }),
  },
  {
    name: 'XDP',
    group: 'fast path',
    remedy: 'needs a kernel with CONFIG_NET and a driver that takes XDP programs',
    run: () =>
      withVeth((_links, [ifindex]) =>
        withProgram('xdp', returning(XDP_PASS), (program) => {
          BpfLink.xdp(program, ifindex).close();
          return 'attached a program to a device';
        }),
      ),
  },
  {
    name: 'BPF file system',
    group: 'fast path',
    remedy: `mount it: mount -t bpf bpf ${BPF_FS}; without it a restart interrupts the traffic`,
    run: () =>
      withProgram('classifier', returning(TC_ACT_OK), (program) => {
        const path = `${BPF_FS}/weft-doctor-${randomBytes(4).toString('hex')}`;
        program.pin(path);
        unpin(path);
        return `pinned a program in ${BPF_FS}`;
      }),
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
    name: 'the kernel datapath',
    group: 'fast path',
    remedy: 'see what is missing above; without it bridges of datapath_type=system forward in user space',
    async run() {
      const netns = `weft${randomBytes(3).toString('hex')}-doctor`;
      createNetns(netns);
      try {
        inNetns(netns, () => {
          const netlink = new NetlinkSocket();
          new Links(netlink).createVeth('weft0', 'weft1', { up: true }, { up: true });
          netlink.close();
        });
        const datapath = createKernelDatapath({
          clock: new DaemonClock(),
          random: Math.random,
          log: nullLogger,
          netns: netnsPath(netns),
        });
        datapath.portAdd({ name: 'weft0', type: 'system' });
        await datapath.close();
        return 'the kernel took its programs and maps, and gave it a port';
      } finally {
        removeNetns(netns);
      }
    },
  },
];
