import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PreparedRun } from '../sys/bpf-run.ts';
import { Links } from '../sys/netlink/link.ts';
import { NetlinkSocket } from '../sys/netlink/socket.ts';
import { inNewNetns } from '../sys/netns.ts';
import { add, call, exit, ldx, mov, R0, R1, R2, R3, R6, W } from './asm.ts';
import { prologue, returning } from './build.ts';
import { skb, XDP_ACT, xdp } from './context.ts';
import { helper } from './helpers.ts';
import { BpfLink } from './link.ts';
import { Program } from './program.ts';
import { needsRoot } from './testing/programs.ts';

const skip = needsRoot;

test('prepared runs: packet, length and context change, nothing else', { skip }, () => {
  const code = [mov(R6, R1), ldx(W, R0, R6, skb.mark), ldx(W, R1, R6, skb.len), add(R0, R1), exit()];
  using program = Program.load({ kind: 'classifier', name: 'weft_sum', code });
  const run = new PreparedRun(program.fd, 2000, skb.size);
  for (let i = 0; i < 100; i++) {
    run.context.setUint32(skb.mark, i * 1000, true);
    assert.equal(run.run(60 + i), i * 1000 + 60 + i);
  }
  assert.throws(() => run.run(3), { code: 'system-call', message: /run program on 3 bytes/ });
  assert.equal(run.run(100), 99_100);
});

test('a packet is sent out of the device that the context names', { skip }, () => {
  inNewNetns(() => {
    const netlink = new NetlinkSocket();
    const links = new Links(netlink);
    links.createVeth('weft0', 'weft1', { up: true }, { up: true });
    const out = links.get('weft0')!.ifindex;
    const code = [ldx(W, R2, R1, skb.mark), mov(R3, 0), call(helper.cloneRedirect), exit()];
    using program = Program.load({ kind: 'classifier', name: 'weft_out', code });
    const run = new PreparedRun(program.fd, 2000, skb.size);
    const received = (): bigint => links.get('weft1')!.statistics!.rxPackets;
    run.packet.fill(0xff, 0, 6).set([0x88, 0xb5], 12);
    run.context.setUint32(skb.mark, out, true);
    const before = received();
    for (let i = 0; i < 10; i++) assert.equal(run.run(60), 0);
    assert.ok(received() >= before + 10n);

    // Frames of an XDP program, sent for real.
    const redirect = [mov(R1, out), mov(R2, 0), call(helper.redirect), exit()];
    using generator = Program.load({ kind: 'xdp', name: 'weft_gen', code: redirect });
    using receiver = Program.load({
      kind: 'xdp',
      name: 'weft_pass',
      code: [prologue(xdp), returning(XDP_ACT.pass)],
    });
    // A program at the peer has its driver take frames that come from XDP.
    using link = BpfLink.xdp(receiver, links.get('weft1')!.ifindex);
    assert.ok(link.attached);
    const live = new PreparedRun(generator.fd, 256, xdp.size);
    live.packet.set(run.packet.subarray(0, 60));
    live.context.setUint32(xdp.dataEnd, 60, true);
    live.context.setUint32(xdp.ingressIfindex, out, true);
    const atPeer = received();
    live.runLive(60, 128);
    for (let tries = 0; tries < 10_000 && received() < atPeer + 128n; tries++);
    assert.ok(received() >= atPeer + 128n, `${received() - atPeer} of 128`);
    netlink.close();
  });
});
