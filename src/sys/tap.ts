/**
 * Tap devices (Linux Documentation/networking/tuntap.rst): a network device whose wire is a descriptor. Used for
 * ports of type "internal" and "tap". Frames carry the vnet header, so segmentation offload stays whole.
 */
import { constants } from 'node:os';
import { WeftError } from '../base/errors.ts';
import {
  type FrameSink,
  type FrameSource,
  type Offload,
  type RxFrame,
  readVnetHeader,
  VNET_HEADER_SIZE,
  writeVnetHeader,
} from './frame.ts';
import { check, close, fn, ioctl, lastErrno, SystemError } from './libc.ts';
import { MemoryMap } from './memory-map.ts';

const open = fn<[string, number], number>('int open(const char *, int)');
const read = fn<[number, number, number], number>('int64_t read(int, uintptr_t, uint64_t)');
/** The same call for requests that take a number where others take a pointer. */
const ioctlValue = fn<[number, number, number], number>('int ioctl(int, unsigned long, unsigned long)');
const write = fn<[number, number, number], number>('int64_t write(int, uintptr_t, uint64_t)');

const O_RDWR_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const TUNSETIFF = 0x4004_54ca;
const TUNSETPERSIST = 0x4004_54cb;
const TUNSETOFFLOAD = 0x4004_54d0;
const TUNSETVNETHDRSZ = 0x4004_54d8;
const IFF_TAP_NO_PI_VNET_HDR = 0x0002 | 0x1000 | 0x4000;
/** TUN_F_CSUM, TSO4, TSO6, TSO_ECN. */
const OFFLOADS = 1 | 2 | 4 | 8;
const IFREQ_SIZE = 40;
const NAME_SIZE = 16;
const HEADROOM = 128;
const MAX_FRAME = 65536 + 256;

export interface TapOptions {
  /** Name of the device; made if there is none. At most 15 bytes. */
  readonly name: string;
  /** Whether the device survives its process; off by default. */
  readonly persistent?: boolean;
  /** Whether the host may leave checksums and segmentation to us; on by default. */
  readonly offload?: boolean;
}

/** An open tap device in the namespace in which it was opened. Used by one thread. */
export class TapPort implements FrameSource, FrameSink {
  readonly name: string;
  readonly fd: number;
  /** Frames that the device did not take (it is down, or its queue is full); they are lost. */
  txErrors = 0;
  private readonly rx: MemoryMap;
  private readonly tx: MemoryMap;

  constructor(options: TapOptions) {
    const { name } = options;
    const encoded = new TextEncoder().encode(name);
    if (encoded.length === 0 || encoded.length >= NAME_SIZE) {
      throw new WeftError('bad-device-name', `tap device "${name}": a name has 1 to ${NAME_SIZE - 1} bytes`);
    }
    this.name = name;
    this.fd = check(
      open('/dev/net/tun', O_RDWR_NONBLOCK_CLOEXEC),
      'open /dev/net/tun',
      'load the module "tun"',
    );
    try {
      const request = new Uint8Array(IFREQ_SIZE);
      request.set(encoded);
      new DataView(request.buffer).setUint16(NAME_SIZE, IFF_TAP_NO_PI_VNET_HDR, true);
      check(
        ioctl(this.fd, TUNSETIFF, request),
        `tap device ${name}`,
        'another process may have it open, or you are not root',
      );
      const size = new Uint8Array(Uint32Array.of(VNET_HEADER_SIZE).buffer);
      check(ioctl(this.fd, TUNSETVNETHDRSZ, size), `tap device ${name}: vnet header`);
      // These two take their argument by value.
      const set = (request: number, value: number, what: string): void => {
        check(ioctlValue(this.fd, request, value), `tap device ${name}: ${what}`);
      };
      set(TUNSETOFFLOAD, (options.offload ?? true) ? OFFLOADS : 0, 'offload');
      set(TUNSETPERSIST, options.persistent ? 1 : 0, 'persistence');
      this.rx = MemoryMap.anonymous(HEADROOM + MAX_FRAME);
      this.tx = MemoryMap.anonymous(HEADROOM + MAX_FRAME);
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  get txFd(): number {
    return this.fd;
  }

  receive(frame: RxFrame): boolean {
    const at = HEADROOM - VNET_HEADER_SIZE;
    const size = read(this.fd, this.rx.address + at, VNET_HEADER_SIZE + MAX_FRAME);
    if (size < 0) {
      const errno = lastErrno();
      if (errno === constants.errno.EAGAIN || errno === constants.errno.EINTR) return false;
      throw new SystemError(`read ${this.name}`, errno);
    }
    if (size <= VNET_HEADER_SIZE) return false;
    frame.bytes = this.rx.bytes;
    frame.start = HEADROOM;
    frame.end = at + size;
    frame.headroom = HEADROOM;
    readVnetHeader(this.rx.bytes, at, frame);
    return true;
  }

  release(): void {
    // The buffer is ours; the next receive overwrites it.
  }

  send(bytes: Uint8Array, start: number, end: number, offload: Readonly<Offload>): boolean {
    const length = end - start;
    const at = HEADROOM - VNET_HEADER_SIZE;
    if (length > MAX_FRAME) {
      this.txErrors++;
      return true;
    }
    writeVnetHeader(this.tx.bytes, at, offload);
    this.tx.bytes.set(bytes.subarray(start, end), HEADROOM);
    if (write(this.fd, this.tx.address + at, VNET_HEADER_SIZE + length) < 0) {
      if (lastErrno() === constants.errno.EAGAIN) return false;
      this.txErrors++;
    }
    return true;
  }

  flush(): void {
    // Every frame was written as it came.
  }

  close(): void {
    this.rx.unmap();
    this.tx.unmap();
    close(this.fd);
  }
}

/** Removes a persistent tap device. */
export function removeTap(name: string): void {
  new TapPort({ name }).close();
}
