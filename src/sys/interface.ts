/** Network devices by name, in the namespace that the calling thread is in. */
import { fn } from './libc.ts';

const indexOf = fn<[string], number>('unsigned int if_nametoindex(const char *)');

/** The kernel's number for the device; 0 if there is none of that name. */
export function interfaceIndex(name: string): number {
  return indexOf(name);
}
