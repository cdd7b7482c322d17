/** Room for packets in a socket (socket(7)). */
import { setsockopt } from './libc.ts';

const SOL_SOCKET = 1;
/** The option that needs CAP_NET_ADMIN in the first user namespace, and the one up to the machine's limit. */
const OPTIONS = { receive: [33, 8], send: [32, 7] } as const;

/**
 * Asks for room for `bytes`. Without the right to more than the machine's limit (net.core.rmem_max, wmem_max) that is
 * what there is: more is lost in bursts.
 */
export function enlargeBuffer(fd: number, direction: 'receive' | 'send', bytes: number): void {
  const value = new Uint8Array(Uint32Array.of(bytes).buffer);
  for (const option of OPTIONS[direction]) if (setsockopt(fd, SOL_SOCKET, option, value, 4) >= 0) return;
}
