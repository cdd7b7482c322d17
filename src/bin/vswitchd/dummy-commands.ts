import type { CommandRegistry } from '../../base/command.ts';
import { WeftError } from '../../base/errors.ts';
import { composePacket } from '../../datapath/packet/compose.ts';
import { parseKey } from '../../datapath/text/index.ts';
import { type Flow, PT_ETH, W_PACKET_TYPE } from '../../flow/layout.ts';
import { parseHex } from '../../switch/appctl/trace.ts';
import type { DummyDevice } from '../../switch/device/dummy.ts';
import type { CommandTarget } from './commands.ts';

const MIN_FRAME = 14;

/** Commands that play the part of the network at dummy devices. */
export function registerDummyCommands(commands: CommandRegistry, { datapaths }: CommandTarget): void {
  const find = (name: string) => {
    for (const { devices, link } of datapaths.dummies.values()) {
      const device = devices.get(name);
      if (device !== undefined) return { device, link: link(device) };
    }
    throw new WeftError('no-such-dummy', 'no such dummy netdev');
  };
  const devices = (name: string | undefined): DummyDevice[] => {
    if (name !== undefined) return [find(name).device];
    return [...datapaths.dummies.values()].flatMap((dummy) => [...dummy.devices.all()]);
  };

  commands.register(
    'netdev-dummy/receive',
    'name [--qid queue_id] packet|flow [--len packet_len]',
    2,
    Infinity,
    (args) => {
      const { link } = find(args[0]);
      for (const { packet, key } of readPackets(args.slice(1))) link.receive(packet, key);
      return undefined;
    },
  );
  commands.register('netdev-dummy/set-admin-state', '[netdev] up|down', 1, 2, (args) => {
    const word = args.at(-1);
    if (word !== 'up' && word !== 'down') throw new WeftError('bad-state', 'Invalid Admin State');
    if (
      args.length === 2 &&
      ![...datapaths.dummies.values()].some((d) => d.devices.get(args[0]) !== undefined)
    ) {
      throw new WeftError('no-such-dummy', 'Unknown Dummy Interface');
    }
    for (const device of devices(args.length === 2 ? args[0] : undefined)) device.setAdminUp(word === 'up');
    return 'OK';
  });
  commands.register('netdev-dummy/conn-state', '[netdev]', 0, 1, ([name]) => {
    if (name !== undefined) return `${name}: ${find(name).link.state}\n`;
    return devices(undefined)
      .map((device) => `${device.name}: ${find(device.name).link.state}\n`)
      .join('');
  });
  commands.register('netdev-dummy/ip4addr', '[netdev] ipaddr/mask-prefix-len', 2, 2, ([name, text]) => {
    const [address, prefix] = text.split('/');
    find(name).device.addresses.push({ address, prefix: Number(prefix) });
    return 'OK';
  });
  commands.register('netdev-dummy/ip6addr', '[netdev] ip6addr', 2, 2, ([name, text]) => {
    const [address, prefix] = text.split('/');
    find(name).device.addresses.push({ address, prefix: Number(prefix ?? 128) });
    return 'OK';
  });
}

/** Packets in hexadecimal, or flows that packets are made for. */
function readPackets(args: readonly string[]): { packet: Uint8Array; key: Flow | undefined }[] {
  const found: { packet: Uint8Array; key: Flow | undefined }[] = [];
  let i = 0;
  if (args[0] === '--qid') i = 2;
  for (; i < args.length; i++) {
    const hex = parseHex(args[i]);
    if (hex !== null && hex.length >= MIN_FRAME) {
      found.push({ packet: hex, key: undefined });
      continue;
    }
    const { key } = parseKey(args[i]);
    // A frame arrives with its Ethernet header, also where the text leaves that out.
    if (!args[i].includes('packet_type(')) key[W_PACKET_TYPE] = PT_ETH;
    let length: number | undefined;
    if (args[i + 1] === '--len') {
      length = Number.parseInt(args[i + 2] ?? '', 10);
      if (!(length >= MIN_FRAME)) throw new WeftError('bad-length', 'too small packet len');
      i += 2;
    }
    const packet = composePacket(key, length === undefined ? {} : { length });
    if (packet === null) throw new WeftError('bad-length', 'too small packet len');
    found.push({ packet, key });
  }
  return found;
}
