/** Datagrams to a unix socket such as `/dev/log`, which Node itself has no call for. */
import { constants } from 'node:os';
import { bind, check, close, connect, lastErrno, recv, SystemError, send, socket } from './libc.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 0o2004002;
const MSG_NOSIGNAL = 0x4000;
/** `struct sockaddr_un`: family, then the path with its terminating zero. */
const PATH_MAX = 107;

function address(path: string): Uint8Array {
  const name = new TextEncoder().encode(path);
  if (name.length > PATH_MAX)
    throw new RangeError(`socket path of ${name.length} bytes (at most ${PATH_MAX}): ${path}`);
  const bytes = new Uint8Array(2 + name.length + 1);
  bytes[0] = AF_UNIX;
  bytes.set(name, 2);
  return bytes;
}

/** A socket that sends datagrams to one path, and never blocks. */
export class UnixDatagram {
  private readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Opens a socket that sends to `path`. Throws `SystemError` if nobody listens there. */
  static connect(path: string): UnixDatagram {
    return UnixDatagram.open((fd) => {
      const to = address(path);
      check(connect(fd, to, to.length), `connect ${path}`);
    });
  }

  /** Opens a socket that receives at `path`, which must not exist. */
  static listen(path: string): UnixDatagram {
    return UnixDatagram.open((fd) => {
      const at = address(path);
      check(bind(fd, at, at.length), `bind ${path}`);
    });
  }

  private static open(prepare: (fd: number) => void): UnixDatagram {
    const fd = check(socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), 'socket(AF_UNIX)');
    try {
      prepare(fd);
    } catch (error) {
      close(fd);
      throw error;
    }
    return new UnixDatagram(fd);
  }

  /** Sends one datagram. Throws `SystemError`, also when the receiver's queue is full (EAGAIN). */
  send(bytes: Uint8Array): void {
    check(send(this.fd, bytes, bytes.length, MSG_NOSIGNAL), 'send to unix socket');
  }

  /** The next datagram, undefined if there is none now. */
  receive(): Uint8Array | undefined {
    const bytes = new Uint8Array(65536);
    const size = recv(this.fd, bytes, bytes.length, 0);
    if (size >= 0) return bytes.subarray(0, size);
    const errno = lastErrno();
    if (errno === constants.errno.EAGAIN) return undefined;
    throw new SystemError('receive from unix socket', errno);
  }

  close(): void {
    close(this.fd);
  }
}
