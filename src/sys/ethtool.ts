/** What a device's driver tells and lets be set (ethtool's ioctl, include/uapi/linux/ethtool.h). */
import { constants } from 'node:os';
import { addressOf, check, close, ioctl, lastErrno, SystemError, socket } from './libc.ts';

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCETHTOOL = 0x8946;
const IFREQ_SIZE = 40;
const GDRVINFO = 0x3;
const GLINKSETTINGS = 0x4c;

/** The offloads that can be switched: command to get, command to set. */
const OFFLOADS = {
  rxChecksum: [0x14, 0x15],
  txChecksum: [0x16, 0x17],
  scatterGather: [0x18, 0x19],
  tso: [0x1e, 0x1f],
  gso: [0x23, 0x24],
  gro: [0x2b, 0x2c],
} as const;
export type DeviceOffload = keyof typeof OFFLOADS;

export interface DriverInfo {
  readonly driver: string;
  readonly version: string;
  readonly firmware: string;
  readonly bus: string;
}

export interface LinkSettings {
  /** Undefined if the device does not know. */
  readonly speedMbps: number | undefined;
  readonly duplex: 'half' | 'full' | undefined;
  readonly autonegotiation: boolean;
}

/** Runs one command; false if the device does not support it. */
function command(device: string, data: Uint8Array, what: string): boolean {
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(device).subarray(0, 15));
  new DataView(request.buffer).setBigUint64(16, addressOf(data), true);
  const fd = check(socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0), 'socket for ethtool');
  try {
    if (ioctl(fd, SIOCETHTOOL, request) >= 0) return true;
    const errno = lastErrno();
    if (errno === constants.errno.EOPNOTSUPP) return false;
    throw new SystemError(`${what} of ${device}`, errno);
  } finally {
    close(fd);
  }
}

/** Name, version and place of a device's driver; undefined if it tells none. */
export function driverInfo(device: string): DriverInfo | undefined {
  const data = new Uint8Array(196);
  data[0] = GDRVINFO;
  if (!command(device, data, 'driver')) return undefined;
  const text = (at: number): string => {
    const bytes = data.subarray(at, at + 32);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  };
  return { driver: text(4), version: text(36), firmware: text(68), bus: text(100) };
}

/** Speed and duplex of a device; undefined if it has none. */
export function linkSettings(device: string): LinkSettings | undefined {
  // First the device says how many words its mode masks have (as a negative number), then it fills them.
  let words = 0;
  for (let round = 0; round < 2; round++) {
    const data = new Uint8Array(48 + 3 * 4 * words);
    const view = new DataView(data.buffer);
    view.setUint32(0, GLINKSETTINGS, true);
    view.setInt8(15, words);
    if (!command(device, data, 'link settings')) return undefined;
    const told = view.getInt8(15);
    if (told < 0) {
      words = -told;
      continue;
    }
    const speed = view.getUint32(4, true);
    return {
      speedMbps: speed === 0xffff_ffff || speed === 0 ? undefined : speed,
      duplex: data[8] === 0 ? 'half' : data[8] === 1 ? 'full' : undefined,
      autonegotiation: data[11] === 1,
    };
  }
  return undefined;
}

/** Whether an offload is on; undefined if the device does not have it. */
export function offloadOf(device: string, offload: DeviceOffload): boolean | undefined {
  const data = new Uint8Array(8);
  data[0] = OFFLOADS[offload][0];
  return command(device, data, offload) ? data[4] !== 0 : undefined;
}

/** Switches an offload. Returns false if the device does not have it. */
export function setOffload(device: string, offload: DeviceOffload, on: boolean): boolean {
  const data = new Uint8Array(8);
  data[0] = OFFLOADS[offload][1];
  data[4] = on ? 1 : 0;
  return command(device, data, offload);
}
